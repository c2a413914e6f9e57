"""A run's state in the database. Every write is fenced by the epoch its writer took.

A worker that was thought dead and writes late finds another epoch and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import CursorResult, select, update
from sqlalchemy.orm import Session

from perijove.types.jobs import Artifact, Cause, Progress, RunState
from perijove_hub.identity import revoke_run_tokens
from perijove_hub.jobs import after
from perijove_hub.jobs.notifications import outbox
from perijove_hub.store import audit
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import ArtifactRow, AttemptRow, JobRow, RunRow

QUEUED, RUNNING = RunState.queued.value, RunState.running.value

#: What may go better the next time.
RETRIED = {
    Cause.cell_error,
    Cause.memory,
    Cause.disk,
    Cause.timeout,
    Cause.cell_timeout,
    Cause.kernel_died,
    Cause.lost,
    Cause.internal,
}
#: Longest delay before a retry, seconds.
MAX_DELAY = 86_400.0


@dataclass(frozen=True)
class Ending:
    """How a run ended; ``cause`` is set whenever it did not succeed."""

    state: RunState
    reason: str | None = None
    cause: Cause | None = None
    failed_cell: int | None = None
    peak_memory_mb: float | None = None


@dataclass(frozen=True)
class Kept:
    """What a run left: addresses of blobs, and its metrics."""

    output_sha256: str | None = None
    log_sha256: str | None = None
    events_sha256: str | None = None
    artifacts: tuple[Artifact, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)


def running(session: Session) -> Sequence[RunRow]:
    """Return the runs that some worker runs."""
    return session.scalars(select(RunRow).where(RunRow.state == RUNNING)).all()


def claim(session: Session, run: RunRow, worker: str) -> int | None:
    """Take a queued run; return the epoch to write with, or ``None`` when it is not to be had."""
    epoch = run.epoch + 1
    taken: dict[str, Any] = {"state": RUNNING, "epoch": epoch, "worker": worker}
    return epoch if _change(session, run.id, run.epoch, QUEUED, **taken) else None


def adopt(session: Session, run: RunRow, worker: str, *, started: bool = False) -> int | None:
    """Take over a running run of a worker that is gone, which can then write no more.

    ``started`` where nobody can know whether the run was: then it counts as started, and is
    never started again under the same attempt. Returns the epoch to write with, or ``None``.
    """
    taken: dict[str, Any] = {"epoch": run.epoch + 1, "worker": worker}
    if started:
        taken["started_at"] = run.started_at or database_now(session)
    return run.epoch + 1 if _change(session, run.id, run.epoch, RUNNING, **taken) else None


def started(session: Session, run_id: str, epoch: int) -> bool:
    """Record that a run's workload was started."""
    changed = _change(session, run_id, epoch, RUNNING, started_at=database_now(session))
    if changed:
        outbox.started(session, session.get_one(RunRow, run_id))
    return changed


def requeue(session: Session, run_id: str, epoch: int) -> bool:
    """Put back a run that was claimed and never begun, unless somebody cancelled it."""
    back = {"state": QUEUED, "epoch": epoch + 1, "worker": None, "started_at": None}
    return _again(session, run_id, epoch, back)


def progressed(
    session: Session, run_id: str, epoch: int, progress: Progress, metrics: Mapping[str, float]
) -> bool:
    """Record how far a run has got and what it has measured."""
    values = {**progress.model_dump(), "metrics": dict(metrics)}
    return _change(session, run_id, epoch, RUNNING, **values)


def retried(run: RunRow, job: JobRow, ending: Ending) -> bool:
    """Tell whether a run that ended so is tried again."""
    return ending.cause in RETRIED and run.attempt <= job.retries


def retry(
    session: Session, run: RunRow, job: JobRow, epoch: int, *, ending: Ending, kept: Kept
) -> bool:
    """Keep this attempt's record and queue the next one, unless somebody cancelled the run."""
    delay = min(MAX_DELAY, job.retry_delay_s * job.retry_backoff ** (run.attempt - 1))
    now = database_now(session)
    back = {
        "state": QUEUED,
        "attempt": run.attempt + 1,
        "epoch": epoch + 1,
        "worker": None,
        "not_before": now + timedelta(seconds=delay),
        "started_at": None,
        "metrics": {},
        **Progress().model_dump(),
    }
    if not _again(session, run.id, epoch, back):
        return False
    session.add(
        AttemptRow(
            run_id=run.id,
            attempt=run.attempt,
            state=ending.state.value,
            reason=ending.reason,
            cause=ending.cause.value if ending.cause else None,
            started_at=run.started_at,
            ended_at=now,
            failed_cell=ending.failed_cell,
            peak_memory_mb=ending.peak_memory_mb,
            output_sha256=kept.output_sha256,
            log_sha256=kept.log_sha256,
            events_sha256=kept.events_sha256,
        )
    )
    audit.record(session, "worker", "run.retry", run.id, attempt=run.attempt + 1)
    return True


def finish(
    session: Session, run_id: str, epoch: int, *, ending: Ending, kept: Kept | None = None
) -> bool:
    """Record how a run ended and what it left, end its token, and tell the jobs that follow."""
    kept = kept or Kept()
    changed = _change(
        session,
        run_id,
        epoch,
        RUNNING,
        state=ending.state.value,
        reason=ending.reason,
        cause=ending.cause.value if ending.cause else None,
        failed_cell=ending.failed_cell,
        peak_memory_mb=ending.peak_memory_mb,
        output_sha256=kept.output_sha256,
        log_sha256=kept.log_sha256,
        events_sha256=kept.events_sha256,
        metrics=dict(kept.metrics),
        current_cell="",
        ended_at=database_now(session),
    )
    if changed:
        session.add_all(
            ArtifactRow(run_id=run_id, path=one.path, sha256=one.sha256, bytes=one.bytes)
            for one in kept.artifacts
        )
        revoke_run_tokens(session, run_id)
        audit.record(session, "worker", "run.end", run_id, state=ending.state.value)
        after.ended(session, session.get_one(RunRow, run_id, populate_existing=True))
    return changed


def _again(session: Session, run_id: str, epoch: int, values: Mapping[str, Any]) -> bool:
    """Queue a running run again; one that is to be cancelled would wait for nothing."""
    changed = _change(session, run_id, epoch, RUNNING, cancelled=False, **values)
    if changed:
        revoke_run_tokens(session, run_id)
    return changed


def _change(
    session: Session,
    run_id: str,
    epoch: int,
    state: str,
    /,
    *,
    cancelled: bool | None = None,
    **values: Any,
) -> bool:
    rows = update(RunRow).where(RunRow.id == run_id, RunRow.epoch == epoch, RunRow.state == state)
    if cancelled is not None:
        rows = rows.where(RunRow.cancel_requested.is_(cancelled))
    # Rows that the session knows are left as they were read: their epoch is what was claimed.
    result = session.execute(rows.values(**values).execution_options(synchronize_session=False))
    assert isinstance(result, CursorResult)  # noqa: S101 - for the type checker
    return result.rowcount == 1

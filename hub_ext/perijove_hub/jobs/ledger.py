"""A run's state in the database. Every write is fenced by the epoch its writer took.

A worker that was thought dead and writes late finds another epoch and changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import CursorResult, select, update
from sqlalchemy.orm import Session

from perijove.types.jobs import Progress, RunState
from perijove_hub.identity import revoke_run_tokens
from perijove_hub.store import audit
from perijove_hub.store.models import RunRow, utcnow

QUEUED, RUNNING = RunState.queued.value, RunState.running.value


@dataclass(frozen=True)
class Ending:
    """How a run ended and what it left."""

    state: RunState
    reason: str | None = None
    failed_cell: int | None = None
    peak_memory_mb: float | None = None
    output_sha256: str | None = None
    log_sha256: str | None = None


def queued(session: Session, limit: int) -> Sequence[RunRow]:
    """Return the runs that wait longest."""
    rows = select(RunRow).where(RunRow.state == QUEUED)
    return session.scalars(rows.order_by(RunRow.queued_at, RunRow.id).limit(limit)).all()


def running(session: Session) -> Sequence[RunRow]:
    """Return the runs that some worker runs."""
    return session.scalars(select(RunRow).where(RunRow.state == RUNNING)).all()


def claim(session: Session, run: RunRow) -> int | None:
    """Take a queued run; return the epoch to write with, or ``None`` when it is not to be had."""
    epoch = run.epoch + 1
    changed = _change(session, run.id, run.epoch, QUEUED, state=RUNNING, epoch=epoch)
    return epoch if changed else None


def adopt(session: Session, run: RunRow) -> int | None:
    """Take over a running run of a worker that is gone, which can then write no more."""
    epoch = run.epoch + 1
    return epoch if _change(session, run.id, run.epoch, RUNNING, epoch=epoch) else None


def started(session: Session, run_id: str, epoch: int) -> bool:
    """Record that a run's workload was started."""
    return _change(session, run_id, epoch, RUNNING, started_at=utcnow())


def requeue(session: Session, run_id: str, epoch: int) -> bool:
    """Put back a run that was claimed and never started."""
    changed = _change(session, run_id, epoch, RUNNING, state=QUEUED, epoch=epoch + 1)
    if changed:
        revoke_run_tokens(session, run_id)
    return changed


def progressed(session: Session, run_id: str, epoch: int, progress: Progress) -> bool:
    """Record how far a run has got."""
    return _change(session, run_id, epoch, RUNNING, **progress.model_dump())


def finish(session: Session, run_id: str, epoch: int, ending: Ending) -> bool:
    """Record how a run ended, and end its token."""
    changed = _change(
        session,
        run_id,
        epoch,
        RUNNING,
        state=ending.state.value,
        reason=ending.reason,
        failed_cell=ending.failed_cell,
        peak_memory_mb=ending.peak_memory_mb,
        output_sha256=ending.output_sha256,
        log_sha256=ending.log_sha256,
        current_cell="",
        ended_at=utcnow(),
    )
    if changed:
        revoke_run_tokens(session, run_id)
        audit.record(session, "worker", "run.end", run_id, state=ending.state.value)
    return changed


def _change(session: Session, run_id: str, epoch: int, state: str, /, **values: Any) -> bool:
    result = session.execute(
        update(RunRow)
        .where(RunRow.id == run_id, RunRow.epoch == epoch, RunRow.state == state)
        .values(**values)
    )
    assert isinstance(result, CursorResult)  # noqa: S101 - for the type checker
    return result.rowcount == 1

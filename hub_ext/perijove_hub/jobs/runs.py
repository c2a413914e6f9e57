"""Runs: start, list, watch, cancel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from perijove.types.base import Page, Principal
from perijove.types.jobs import Attempt, Cause, LogChunk, Run, RunAgain, RunCreate, RunState
from perijove.types.watching import RunPoint
from perijove_hub.access import may_change
from perijove_hub.api.paging import paginate
from perijove_hub.context import Context
from perijove_hub.exceptions import NotFound, Refused
from perijove_hub.jobs import after, attempts, image, live, quota, versions, wire
from perijove_hub.jobs.enqueue import enqueue
from perijove_hub.jobs.finding import find_run, may_run, only_its_owner
from perijove_hub.jobs.names import workload_name
from perijove_hub.jobs.service import find
from perijove_hub.jobs.values import submitted
from perijove_hub.launch import Launcher
from perijove_hub.store import audit, idempotency
from perijove_hub.store.models import JobRow, JobVersionRow, RunRow, utcnow

#: Most bytes of a log in one answer.
CHUNK = 256 * 1024


class RunService:
    """What may be done with runs, checked against the caller's rights to the job."""

    def __init__(self, context: Context, launcher: Launcher) -> None:
        self._context = context
        self._launcher = launcher

    def create(self, principal: Principal, job_id: str, body: RunCreate, *, key: str | None) -> Run:
        """Queue a run.

        Raises ``Invalid`` for a parameter that is unknown, missing or of the wrong type, and for
        an image that does not start.
        """
        return _once(lambda: self._create(principal, job_id, body, key=key))

    def again(self, principal: Principal, run_id: str, body: RunAgain, *, key: str | None) -> Run:
        """Queue a run like an earlier one, for the same slot and after the same runs.

        Parameters that it had and the version no longer declares are left out. Raises ``Invalid``
        as ``create`` does.
        """
        return _once(lambda: self._again(principal, run_id, body, key=key))

    def list(
        self,
        principal: Principal,
        job_id: str,
        *,
        state: RunState | None,
        cursor: str | None,
        limit: int,
    ) -> Page[Run]:
        """List a job's runs, newest first."""
        with self._context.database.reading() as session:
            job = find(session, principal, job_id)
            rows = select(RunRow).where(RunRow.job_id == job.id)
            if state is not None:
                rows = rows.where(RunRow.state == state.value)
            found, following = paginate(
                session,
                rows,
                by=RunRow.queued_at,
                tie=RunRow.id,
                cursor=cursor,
                limit=limit,
                descending=True,
            )
            items = wire.runs(session, found, {job.id: job.name}, reader=principal)
            return Page[Run](items=items, next_cursor=following)

    def series(self, principal: Principal, job_id: str, *, limit: int) -> tuple[RunPoint, ...]:
        """Return a job's last runs for charts, oldest first."""
        with self._context.database.reading() as session:
            job = find(session, principal, job_id)
            rows = session.scalars(
                select(RunRow)
                .where(RunRow.job_id == job.id)
                .order_by(RunRow.queued_at.desc(), RunRow.id.desc())
                .limit(limit)
            ).all()
            return tuple(_point(row) for row in reversed(rows))

    def get(self, principal: Principal, run_id: str) -> Run:
        """Return one run."""
        with self._context.database.reading() as session:
            row, job = find_run(session, principal, run_id)
            found = wire.run(session, row, job.name, reader=principal)
            found.expected_s = wire.expected_s(session, job.id)
            return found

    def attempts(self, principal: Principal, run_id: str) -> tuple[Attempt, ...]:
        """Return a run's tries in their order; the last is the run as it is now."""
        with self._context.database.reading() as session:
            row, _ = find_run(session, principal, run_id)
            return attempts.all_of(session, row)

    def cancel(self, principal: Principal, run_id: str) -> Run:
        """Cancel a run; one that has ended stays as it is."""
        with self._context.database.session() as session:
            row, job = find_run(session, principal, run_id)
            if not may_change(principal, job):
                raise only_its_owner(job, f"cancel runs of '{job.name}'")
            reason = f"Cancelled by {principal.name}."
            # Conditional, because the worker may take or end the run at this moment.
            this = update(RunRow).where(RunRow.id == run_id)
            ended = session.scalars(
                this.where(RunRow.state == RunState.queued.value)
                .values(
                    state=RunState.cancelled.value,
                    cause=Cause.cancelled.value,
                    reason=reason,
                    ended_at=utcnow(),
                )
                .returning(RunRow.id)
            ).all()
            session.execute(
                this.where(
                    RunRow.state == RunState.running.value, RunRow.cancel_requested.is_(False)
                ).values(cancel_requested=True, reason=reason)
            )
            audit.record(session, principal, "run.cancel", run_id)
            session.refresh(row)
            if ended:
                after.ended(session, row)
            return wire.run(session, row, job.name, reader=principal)

    def logs(
        self, principal: Principal, run_id: str, offset: int, *, attempt: int | None = None
    ) -> LogChunk:
        """Read a run's log, or that of an earlier attempt, from byte ``offset``."""
        with self._context.database.reading() as session:
            row, _ = find_run(session, principal, run_id)
            tried = attempts.find(session, row, attempt)
        ended = RunState(tried.state).terminal
        if ended:
            content = self._context.blobs.get(tried.log_sha256) if tried.log_sha256 else b""
            piece = content[offset : offset + CHUNK]
            last = offset + len(piece) >= len(content)
        else:
            name = workload_name(row.id, row.attempt)
            piece, _ = self._launcher.logs(name, offset, CHUNK)
            last = False
        piece = piece if last else whole_characters(piece)
        following = offset + len(piece)
        return LogChunk(
            text=piece.decode("utf-8", errors="replace"),
            offset=offset,
            next_offset=following,
            ended=ended and last,
        )

    def notebook(
        self, principal: Principal, run_id: str, *, attempt: int | None = None
    ) -> tuple[bytes, bool]:
        """Return the output notebook, nbformat JSON, and whether it is a running run's.

        That may be a second old, and the run's own code can have written it.
        """
        with self._context.database.reading() as session:
            row, _ = find_run(session, principal, run_id)
            tried = attempts.find(session, row, attempt)
        if not RunState(tried.state).terminal:
            so_far = live.notebook(self._launcher, row)
            if so_far is not None:
                return so_far, True
            # Perhaps it has ended in between.
            with self._context.database.reading() as session:
                row, _ = find_run(session, principal, run_id)
                tried = attempts.find(session, row, attempt)
        if tried.output_sha256 is None:
            raise _no_output(row)
        return self._context.blobs.get(tried.output_sha256), False

    def _create(
        self, principal: Principal, job_id: str, body: RunCreate, *, key: str | None
    ) -> Run:
        with self._context.database.session() as session:
            job = find(session, principal, job_id)
            may_run(principal, job)
            done = idempotency.earlier(
                session, user=principal.name, key=key, body=body, within=job.id
            )
            if done is not None:
                earlier = find_run(session, principal, done)[0]
                return wire.run(session, earlier, job.name, reader=principal)
            version = _version(session, job, body.version)
            row = self._queue(
                session,
                job,
                version,
                submitted(session, version.created_by, wire.parameters(version), body.parameters),
                trigger="manual",
                requested_by=principal.name,
                priority=body.priority,
            )
            idempotency.remember(
                session, user=principal.name, key=key, body=body, object_id=row.id, within=job.id
            )
            session.flush()
            return wire.run(session, row, job.name, reader=principal)

    def _again(self, principal: Principal, run_id: str, body: RunAgain, *, key: str | None) -> Run:
        with self._context.database.session() as session:
            before, job = find_run(session, principal, run_id)
            may_run(principal, job)
            done = idempotency.earlier(
                session, user=principal.name, key=key, body=body, within=before.id
            )
            if done is not None:
                earlier = find_run(session, principal, done)[0]
                return wire.run(session, earlier, job.name, reader=principal)
            version = _version(session, job, None if body.latest else before.version)
            declared = wire.parameters(version)
            names = {one.name for one in declared}
            had = {name: value for name, value in before.parameters.items() if name in names}
            row = self._queue(
                session,
                job,
                version,
                submitted(session, version.created_by, declared, had | (body.parameters or {})),
                trigger="rerun",
                requested_by=principal.name,
                slot=before.slot,
                upstream=before.upstream,
                rerun_of=before.id,
            )
            idempotency.remember(
                session, user=principal.name, key=key, body=body, object_id=row.id, within=before.id
            )
            session.flush()
            return wire.run(session, row, job.name, reader=principal)

    def _queue(
        self,
        session: Session,
        job: JobRow,
        version: JobVersionRow,
        values: Mapping[str, Any],
        **more: Any,
    ) -> RunRow:
        """Queue what a person asks for, who is told at once when it cannot be."""
        image.startable(session, self._context, job, version)
        if reason := quota.refusal(session, self._context.settings, job):
            raise Refused(reason, fix="Wait until then, or ask an administrator for more.")
        row = enqueue(session, self._context, job, version.version, parameters=values, **more)
        assert row is not None  # noqa: S101 - only a key is ever taken
        return row


def _once(make: Callable[[], Run]) -> Run:
    try:
        return make()
    except IntegrityError:
        # The same Idempotency-Key at the same moment: now it is there to be found.
        return make()


def _point(row: RunRow) -> RunPoint:
    return RunPoint(
        id=row.id,
        queued_at=row.queued_at,
        state=RunState(row.state),
        version=row.version,
        seconds=seconds(row.started_at, row.ended_at),
        metrics=row.metrics,
    )


def seconds(start: datetime | None, end: datetime | None) -> float | None:
    """Return how long something took; a clock set back in between makes it nothing."""
    return max(0.0, (end - start).total_seconds()) if start and end else None


def _no_output(row: RunRow) -> NotFound:
    if row.dropped_at is not None:
        return NotFound(
            f"The run's outputs were deleted on {row.dropped_at:%Y-%m-%d}: its job keeps them no "
            "longer.",
            fix="Run it again.",
        )
    return NotFound(
        "The run has no output notebook."
        if RunState(row.state).terminal
        else "The run has no output notebook yet.",
        fix="Look at the run's log.",
    )


def _version(session: Session, job: JobRow, number: int | None) -> JobVersionRow:
    return (
        wire.latest_version(session, job.id)
        if number is None
        else versions.find(session, job, number)
    )


def whole_characters(piece: bytes) -> bytes:
    """Leave out a UTF-8 character that is cut at the end; the next chunk begins with it."""
    for back in range(1, min(4, len(piece)) + 1):
        byte = piece[-back]
        if byte < 0x80:
            return piece
        if byte >= 0xC0:
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return piece if back >= length or back == len(piece) else piece[:-back]
    return piece

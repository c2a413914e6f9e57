"""Runs: start, list, watch, cancel."""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from perijove.types.base import Page, Principal
from perijove.types.jobs import LogChunk, Run, RunCreate, RunState
from perijove_hub.access import may_change
from perijove_hub.api.paging import paginate
from perijove_hub.context import Context
from perijove_hub.exceptions import NotFound, Refused
from perijove_hub.jobs import image, quota, wire
from perijove_hub.jobs.enqueue import enqueue
from perijove_hub.jobs.names import workload_name
from perijove_hub.jobs.service import find
from perijove_hub.jobs.values import checked
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
        try:
            return self._create(principal, job_id, body, key=key)
        except IntegrityError:
            # The same key at the same moment: now it is there to be found.
            return self._create(principal, job_id, body, key=key)

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
            items = [wire.run(row, job.name) for row in found]
            return Page[Run](items=items, next_cursor=following)

    def get(self, principal: Principal, run_id: str) -> Run:
        """Return one run."""
        with self._context.database.reading() as session:
            row, job = _find(session, principal, run_id)
            return wire.run(row, job.name)

    def cancel(self, principal: Principal, run_id: str) -> Run:
        """Cancel a run; one that has ended stays as it is."""
        with self._context.database.session() as session:
            row, job = _find(session, principal, run_id)
            if not may_change(principal, job):
                raise Refused(f"Only {job.owner} may cancel runs of '{job.name}'.")
            reason = f"Cancelled by {principal.name}."
            # Conditional, because the worker may take or end the run at this moment.
            this = update(RunRow).where(RunRow.id == run_id)
            session.execute(
                this.where(RunRow.state == RunState.queued.value).values(
                    state=RunState.cancelled.value, reason=reason, ended_at=utcnow()
                )
            )
            session.execute(
                this.where(
                    RunRow.state == RunState.running.value, RunRow.cancel_requested.is_(False)
                ).values(cancel_requested=True, reason=reason)
            )
            audit.record(session, principal, "run.cancel", run_id)
            session.refresh(row)
            return wire.run(row, job.name)

    def logs(self, principal: Principal, run_id: str, offset: int) -> LogChunk:
        """Read a run's log from byte ``offset``."""
        with self._context.database.reading() as session:
            row, _ = _find(session, principal, run_id)
        ended = RunState(row.state).terminal
        if ended:
            content = self._context.blobs.get(row.log_sha256) if row.log_sha256 else b""
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

    def notebook(self, principal: Principal, run_id: str) -> bytes:
        """Return the output notebook, nbformat JSON."""
        with self._context.database.reading() as session:
            row, _ = _find(session, principal, run_id)
        if row.output_sha256 is None:
            raise NotFound(
                "The run has no output notebook."
                if RunState(row.state).terminal
                else "The output notebook is stored when the run has ended.",
                fix="Look at the run's log.",
            )
        return self._context.blobs.get(row.output_sha256)

    def _create(
        self, principal: Principal, job_id: str, body: RunCreate, *, key: str | None
    ) -> Run:
        with self._context.database.session() as session:
            job = find(session, principal, job_id)
            if not may_change(principal, job):
                # A run acts with its owner's rights, so seeing a job is not enough.
                raise Refused(
                    f"Only {job.owner} may run '{job.name}': its runs act as {job.owner}.",
                    fix="Promote a copy of the notebook to a job of your own.",
                )
            done = idempotency.earlier(
                session, user=principal.name, key=key, body=body, within=job.id
            )
            if done is not None:
                return wire.run(_find(session, principal, done)[0], job.name)
            version = _version(session, job, body.version)
            values = checked(wire.parameters(version), body.parameters, field="parameters")
            image.startable(session, self._context, job, version)
            if reason := quota.refusal(session, self._context.settings, job):
                raise Refused(reason, fix="Wait until then, or ask an administrator for more.")
            row = enqueue(
                session,
                self._context,
                job,
                version.version,
                parameters=values,
                trigger="manual",
                requested_by=principal.name,
            )
            assert row is not None  # noqa: S101 - only a key is ever taken
            idempotency.remember(
                session,
                user=principal.name,
                key=key,
                body=body,
                object_id=row.id,
                within=job.id,
            )
            session.flush()
            return wire.run(row, job.name)


def _find(session: Session, principal: Principal, run_id: str) -> tuple[RunRow, JobRow]:
    """Return a run of a job the caller may see; raises ``NotFound``."""
    row = session.get(RunRow, run_id)
    if row is None:
        raise NotFound("There is no such run.", fix="List the runs of the job.")
    try:
        return row, find(session, principal, row.job_id)
    except NotFound:
        raise NotFound("There is no such run.", fix="List the runs of the job.") from None


def _version(session: Session, job: JobRow, number: int | None) -> JobVersionRow:
    if number is None:
        return wire.latest_version(session, job.id)
    found = session.get(JobVersionRow, (job.id, number))
    if found is None:
        newest = wire.latest_version(session, job.id).version
        raise NotFound(
            f"'{job.name}' has no version {number}.",
            field="version",
            fix=f"The newest is {newest}; leave the version out to run that.",
        )
    return found


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

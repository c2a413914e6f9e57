"""Backfills: plan, start, list, watch, cancel."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from perijove.types.backfills import (
    Backfill,
    BackfillCreate,
    BackfillRun,
    BackfillState,
    SlotState,
)
from perijove.types.base import Page, Principal
from perijove.types.jobs import Follow
from perijove_hub.access import may_change
from perijove_hub.api.paging import paginate
from perijove_hub.context import Context
from perijove_hub.exceptions import NotFound, Refused
from perijove_hub.jobs import image, versions, wire
from perijove_hub.jobs.backfills import ledger, slots
from perijove_hub.jobs.backfills.plan import plan
from perijove_hub.jobs.finding import may_run
from perijove_hub.jobs.service import find
from perijove_hub.secrets import values as secrets
from perijove_hub.store import audit, idempotency
from perijove_hub.store.models import (
    BackfillRow,
    BackfillSlotRow,
    JobRow,
    JobVersionRow,
    RunRow,
    ScheduleRow,
    utcnow,
)


class BackfillService:
    """What may be done with backfills, checked against the caller's rights to the job."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def plan(self, principal: Principal, job_id: str, body: BackfillCreate) -> Backfill:
        """Say what a backfill would do; raises as ``create`` does, and makes nothing."""
        with self._context.database.reading() as session:
            job = find(session, principal, job_id)
            may_run(principal, job)
            version, asked, planned = self._planned(session, job, body)
        waiting = sum(slot.state is SlotState.waiting for slot in planned)
        counted = {SlotState.waiting: waiting, SlotState.skipped: len(planned) - waiting}
        return Backfill(
            job_id=job.id,
            job=job.name,
            version=version.version,
            state=BackfillState.running if waiting else BackfillState.ended,
            requested_by=principal.name,
            **asked.model_dump(exclude={"version", "dry_run"}),
            total=len(planned),
            counts={state: number for state, number in counted.items() if number},
            plan=[*planned],
        )

    def create(
        self, principal: Principal, job_id: str, body: BackfillCreate, *, key: str | None
    ) -> Backfill:
        """Start a backfill; the worker makes its runs, no more at once than ``concurrency``.

        Raises ``Invalid`` for anything wrong in ``body``, and for an image that does not start.
        """
        try:
            return self._create(principal, job_id, body, key=key)
        except IntegrityError:
            # The same key at the same moment: now it is there to be found.
            return self._create(principal, job_id, body, key=key)

    def list(
        self, principal: Principal, job_id: str, *, cursor: str | None, limit: int
    ) -> Page[Backfill]:
        """List a job's backfills, newest first."""
        with self._context.database.reading() as session:
            job = find(session, principal, job_id)
            found, following = paginate(
                session,
                select(BackfillRow).where(BackfillRow.job_id == job.id),
                by=BackfillRow.created_at,
                tie=BackfillRow.id,
                cursor=cursor,
                limit=limit,
                descending=True,
            )
            counted = ledger.counts(session, [row.id for row in found])
            items = [ledger.wire(row, job.name, counted[row.id]) for row in found]
            return Page[Backfill](items=items, next_cursor=following)

    def get(self, principal: Principal, backfill_id: str) -> Backfill:
        """Return one backfill."""
        with self._context.database.reading() as session:
            return _told(session, *_find(session, principal, backfill_id))

    def runs(
        self,
        principal: Principal,
        backfill_id: str,
        *,
        state: SlotState | None,
        cursor: str | None,
        limit: int,
    ) -> Page[BackfillRun]:
        """List a backfill's slots in order of its range."""
        with self._context.database.reading() as session:
            row, _ = _find(session, principal, backfill_id)
            rows = select(BackfillSlotRow).where(BackfillSlotRow.backfill_id == row.id)
            if state is not None:
                joined = rows.join(RunRow, BackfillSlotRow.run_id == RunRow.id, isouter=True)
                made = (BackfillSlotRow.state == ledger.MADE) & (RunRow.state == state.value)
                rows = joined.where(made | (BackfillSlotRow.state == state.value))
            found, following = paginate(
                session,
                rows,
                by=BackfillSlotRow.position,
                tie=BackfillSlotRow.backfill_id,
                cursor=cursor,
                limit=limit,
            )
            ids = [slot.run_id for slot in found if slot.run_id is not None]
            runs = session.execute(select(RunRow.id, RunRow.state).where(RunRow.id.in_(ids)))
            states = {run.id: run.state for run in runs}
            items = [ledger.wire_slot(slot, states.get(slot.run_id or "")) for slot in found]
            return Page[BackfillRun](items=items, next_cursor=following)

    def cancel(self, principal: Principal, backfill_id: str) -> Backfill:
        """Cancel a backfill and its runs; one that is over stays as it is."""
        with self._context.database.session() as session:
            row, job = _find(session, principal, backfill_id)
            if not may_change(principal, job):
                raise Refused(f"Only {job.owner} may cancel backfills of '{job.name}'.")
            # The worker makes runs under the same lock.
            session.refresh(row, with_for_update=True)
            if row.state == BackfillState.running.value:
                ledger.cancel(session, row, f"Cancelled by {principal.name}.")
                audit.record(session, principal, "backfill.cancel", row.id)
            session.flush()
            return _told(session, row, job)

    def _planned(
        self, session: Session, job: JobRow, body: BackfillCreate
    ) -> tuple[JobVersionRow, BackfillCreate, Sequence[BackfillRun]]:
        """Return what runs, ``body`` with its time zone, and its slots."""
        version = versions.followed(session, job.id, version=body.version, follow=Follow.latest)
        declared = wire.parameters(version)
        planned = plan(session, job, declared, body)
        secrets.check(session, version.created_by, secrets.named(declared, body.parameters))
        image.startable(session, self._context, job, version)
        if body.slots is not None:
            timezone = slots.zone_of(body.slots, session.get(ScheduleRow, job.id))
            asked = body.slots.model_copy(update={"timezone": timezone})
            body = body.model_copy(update={"slots": asked})
        return version, body, planned

    def _create(
        self, principal: Principal, job_id: str, body: BackfillCreate, *, key: str | None
    ) -> Backfill:
        # Planned before anything is locked: that may take a second.
        with self._context.database.reading() as session:
            job = find(session, principal, job_id)
            may_run(principal, job)
            version, asked, planned = self._planned(session, job, body)
        with self._context.database.session() as session:
            job = find(session, principal, job_id)
            may_run(principal, job)
            done = idempotency.earlier(
                session, user=principal.name, key=key, body=body, within=job.id
            )
            if done is not None:
                return _told(session, *_find(session, principal, done))
            waiting = any(slot.state is SlotState.waiting for slot in planned)
            row = BackfillRow(
                job_id=job.id,
                version=version.version,
                requested_by=principal.name,
                spec=asked.model_dump(mode="json", exclude={"dry_run"}),
                total=len(planned),
            )
            if not waiting:
                row.state, row.ended_at = BackfillState.ended.value, utcnow()
                row.reason = "The job has run for each slot before."
            session.add(row)
            session.flush()
            session.execute(insert(BackfillSlotRow), [_values(row, slot) for slot in planned])
            audit.record(
                session, principal, "backfill.create", row.id, job=job.id, slots=len(planned)
            )
            idempotency.remember(
                session,
                user=principal.name,
                key=key,
                body=body,
                object_id=row.id,
                within=job.id,
            )
            session.flush()
            return _told(session, row, job)


def _values(row: BackfillRow, slot: BackfillRun) -> dict[str, object]:
    return {
        "backfill_id": row.id,
        "position": slot.position,
        "state": slot.state.value,
        "slot": slot.slot,
        "parameters": slot.parameters,
        "run_id": None,
        "earlier_run_id": slot.earlier_run_id,
        "earlier_state": slot.earlier_state.value if slot.earlier_state else None,
    }


def _find(session: Session, principal: Principal, backfill_id: str) -> tuple[BackfillRow, JobRow]:
    """Return a backfill of a job the caller may see; raises ``NotFound``."""
    row = session.get(BackfillRow, backfill_id)
    nothing = NotFound("There is no such backfill.", fix="List the backfills of the job.")
    if row is None:
        raise nothing
    try:
        return row, find(session, principal, row.job_id)
    except NotFound:
        raise nothing from None


def _told(session: Session, row: BackfillRow, job: JobRow) -> Backfill:
    return ledger.wire(row, job.name, ledger.counts(session, [row.id])[row.id])

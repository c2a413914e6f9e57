"""Backfills: plan, start, list, watch, cancel."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from perijove.types.backfills import (
    Backfill,
    BackfillCreate,
    BackfillRun,
    BackfillState,
    Reprocess,
    SlotState,
)
from perijove.types.base import Page, Principal
from perijove.types.jobs import Follow
from perijove_hub.api.paging import paginate
from perijove_hub.context import Context
from perijove_hub.jobs import image, versions, wire
from perijove_hub.jobs.backfills import ledger, slots
from perijove_hub.jobs.backfills.plan import plan
from perijove_hub.jobs.finding import may_run
from perijove_hub.jobs.many import found, made_once, to_cancel
from perijove_hub.jobs.service import find
from perijove_hub.secrets import values as secrets
from perijove_hub.store import audit
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
        # Planned before anything is locked: that may take a second.
        with self._context.database.reading() as session:
            job = find(session, principal, job_id)
            may_run(principal, job)
            version, asked, planned = self._planned(session, job, body)
        made = made_once(
            self._context,
            principal,
            job_id,
            body,
            key=key,
            make=lambda session, job: _make(
                session, principal, job, asked, version=version.version, planned=planned
            ),
        )
        return self.get(principal, made)

    def list(
        self, principal: Principal, job_id: str, *, cursor: str | None, limit: int
    ) -> Page[Backfill]:
        """List a job's backfills, newest first."""
        with self._context.database.reading() as session:
            job = find(session, principal, job_id)
            page, following = paginate(
                session,
                select(BackfillRow).where(BackfillRow.job_id == job.id),
                by=BackfillRow.created_at,
                tie=BackfillRow.id,
                cursor=cursor,
                limit=limit,
                descending=True,
            )
            counted = ledger.counts(session, [row.id for row in page])
            items = [ledger.wire(row, job.name, counted[row.id]) for row in page]
            return Page[Backfill](items=items, next_cursor=following)

    def get(self, principal: Principal, backfill_id: str) -> Backfill:
        """Return one backfill."""
        with self._context.database.reading() as session:
            return _told(session, *found(session, principal, BackfillRow, backfill_id))

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
            row, _ = found(session, principal, BackfillRow, backfill_id)
            rows = select(BackfillSlotRow).where(BackfillSlotRow.backfill_id == row.id)
            if state is not None:
                joined = rows.join(RunRow, BackfillSlotRow.run_id == RunRow.id, isouter=True)
                made = (BackfillSlotRow.state == ledger.MADE) & (RunRow.state == state.value)
                rows = joined.where(made | (BackfillSlotRow.state == state.value))
            page, following = paginate(
                session,
                rows,
                by=BackfillSlotRow.position,
                tie=BackfillSlotRow.backfill_id,
                cursor=cursor,
                limit=limit,
            )
            ids = [slot.run_id for slot in page if slot.run_id is not None]
            runs = session.execute(select(RunRow.id, RunRow.state).where(RunRow.id.in_(ids)))
            states = {run.id: run.state for run in runs}
            items = [ledger.wire_slot(slot, states.get(slot.run_id or "")) for slot in page]
            return Page[BackfillRun](items=items, next_cursor=following)

    def cancel(self, principal: Principal, backfill_id: str) -> Backfill:
        """Cancel a backfill and its runs; one that is over stays as it is."""
        with self._context.database.session() as session:
            row, job = to_cancel(session, principal, BackfillRow, backfill_id)
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


def _make(
    session: Session,
    principal: Principal,
    job: JobRow,
    asked: BackfillCreate,
    *,
    version: int,
    planned: Sequence[BackfillRun],
) -> BackfillRow:
    row = BackfillRow(
        job_id=job.id,
        version=version,
        requested_by=principal.name,
        spec=asked.model_dump(mode="json", exclude={"dry_run"}),
        total=len(planned),
    )
    if not any(slot.state is SlotState.waiting for slot in planned):
        row.state, row.ended_at = BackfillState.ended.value, utcnow()
        others = "failed or all" if asked.reprocess is Reprocess.none else "all"
        row.reason = f"The job has run for each slot before. To run them again: reprocess {others}."
    session.add(row)
    session.flush()
    session.execute(insert(BackfillSlotRow), [_values(row, slot) for slot in planned])
    audit.record(session, principal, "backfill.create", row.id, job=job.id, slots=len(planned))
    return row


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


def _told(session: Session, row: BackfillRow, job: JobRow) -> Backfill:
    return ledger.wire(row, job.name, ledger.counts(session, [row.id])[row.id])

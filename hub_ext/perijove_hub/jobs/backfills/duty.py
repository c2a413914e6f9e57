"""Keep as many runs of each backfill alive as it may have at once.

A backfill's row is locked while its runs are made, and each run has the key of its slot, so that
none is made twice however many workers there are and wherever one dies.
"""

from __future__ import annotations

import logging

from sqlalchemy import select
from sqlalchemy.orm import Session

from perijove.types.backfills import BackfillCreate, BackfillState, SlotState
from perijove_hub.context import Context
from perijove_hub.jobs import quota
from perijove_hub.jobs.backfills import ledger
from perijove_hub.jobs.backfills.plan import by_instant, fate
from perijove_hub.jobs.enqueue import enqueue
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import BackfillRow, BackfillSlotRow, JobRow, RunRow

log = logging.getLogger(__name__)


class BackfillDuty:
    """Makes the runs of backfills; ``tick`` may be interrupted anywhere."""

    name = "backfills"
    period = 1.0

    def __init__(self, context: Context) -> None:
        self._context = context

    def tick(self) -> None:
        """Take every backfill's next step, each in a transaction of its own."""
        running = select(BackfillRow.id).where(BackfillRow.state == BackfillState.running.value)
        with self._context.database.reading() as session:
            found = session.scalars(running.order_by(BackfillRow.created_at)).all()
        for backfill_id in found:
            try:
                with self._context.database.session() as session:
                    self._step(session, backfill_id)
            except Exception:
                log.exception("backfill %s: could not go on now", backfill_id)

    def _step(self, session: Session, backfill_id: str) -> None:
        row = session.scalar(
            select(BackfillRow)
            .where(BackfillRow.id == backfill_id, BackfillRow.state == BackfillState.running.value)
            .with_for_update(skip_locked=True)
        )
        if row is None:
            return
        # Nobody deletes the job before these runs are there to be cancelled with it.
        job = session.get_one(JobRow, row.job_id, with_for_update={"read": True})
        if job.deleted_at is not None:
            ledger.cancel(session, row, "The job was deleted.")
            return
        asked = BackfillCreate.model_validate(row.spec)
        active = len(ledger.active(session, row.id))
        waiting = _waiting(session, row, asked, limit=max(1, asked.concurrency - active))
        if not waiting:
            if not active:
                row.state, row.reason = BackfillState.ended.value, None
                row.ended_at = database_now(session)
            return
        if active >= asked.concurrency:
            return
        if refusal := quota.refusal(session, self._context.settings, job):
            # Ten thousand failed runs would help nobody: it goes on when there is room again.
            row.reason = f"Waiting: {refusal}"
            return
        row.reason = None
        _skip_overtaken(session, job, asked, waiting)
        for slot in waiting:
            if slot.state == ledger.WAITING:
                self._make(session, row, asked, job=job, slot=slot)

    def _make(
        self,
        session: Session,
        row: BackfillRow,
        asked: BackfillCreate,
        *,
        job: JobRow,
        slot: BackfillSlotRow,
    ) -> None:
        key = f"backfill:{row.id}:{slot.position}"
        run = enqueue(
            session,
            self._context,
            job,
            row.version,
            parameters=slot.parameters,
            trigger="backfill",
            requested_by=row.requested_by,
            key=key,
            slot=slot.slot,
            priority=asked.priority,
        )
        if run is None:
            run = session.scalars(
                select(RunRow).where(RunRow.job_id == job.id, RunRow.key == key)
            ).one()
        slot.state, slot.run_id = ledger.MADE, run.id


def _skip_overtaken(
    session: Session, job: JobRow, asked: BackfillCreate, waiting: list[BackfillSlotRow]
) -> None:
    """Skip slots that the schedule, or another backfill, has run since this one was planned."""
    instants = [slot.slot for slot in waiting if slot.slot is not None]
    if not instants:
        return
    newest = by_instant(session, job.id, min(instants), max(instants))
    for slot in waiting:
        earlier = newest.get(slot.slot) if slot.slot else None
        if earlier and fate(asked.reprocess, earlier) is SlotState.skipped:
            slot.state = SlotState.skipped.value
            slot.earlier_run_id, slot.earlier_state = earlier.run_id, earlier.state.value


def _waiting(
    session: Session, row: BackfillRow, asked: BackfillCreate, *, limit: int
) -> list[BackfillSlotRow]:
    position = BackfillSlotRow.position
    return list(
        session.scalars(
            select(BackfillSlotRow)
            .where(BackfillSlotRow.backfill_id == row.id, BackfillSlotRow.state == ledger.WAITING)
            .order_by(position.desc() if asked.reverse else position)
            .limit(limit)
        )
    )

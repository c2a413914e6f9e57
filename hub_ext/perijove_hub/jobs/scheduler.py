"""Turn what is due into queued runs, each exactly once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import and_, or_, select

from perijove.types.jobs import Overlap
from perijove_hub.context import Context
from perijove_hub.jobs.batch import Batch
from perijove_hub.jobs.serving import serve
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import ScheduleRow

log = logging.getLogger(__name__)

#: Schedules served in one transaction: others wait for it on SQLite.
BATCH = 50
#: Batches in one step.
ROUNDS = 20


class Scheduler:
    """Serves what is due by the database's clock, whatever the host's says.

    Several may do so on one database: they pass over what another has locked, and a key is
    unique for its job.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._passed: tuple[datetime, str] | None = None

    def step(self) -> None:
        """Serve what is due, or the next thousand of it; the next step goes on from there.

        What cannot be served now keeps nothing else from being served.
        """
        for _ in range(ROUNDS):
            due = self._due()
            for batch in _batches(due):
                self._serve(batch)
            if len(due) < BATCH:
                self._passed = None
                return
            last = due[-1]
            assert last.next_slot is not None  # noqa: S101 - for the type checker
            self._passed = last.next_slot, last.job_id

    def _due(self) -> Sequence[ScheduleRow]:
        with self._context.database.reading() as session:
            rows = select(ScheduleRow).where(ScheduleRow.next_slot <= database_now(session))
            if self._passed is not None:
                slot, job_id = self._passed
                same = and_(ScheduleRow.next_slot == slot, ScheduleRow.job_id > job_id)
                rows = rows.where(or_(ScheduleRow.next_slot > slot, same))
            order = ScheduleRow.next_slot, ScheduleRow.job_id
            return session.scalars(rows.order_by(*order).limit(BATCH)).all()

    def _serve(self, job_ids: Sequence[str]) -> None:
        try:
            self._serve_together(job_ids)
        except Exception:
            if len(job_ids) == 1:
                log.exception("schedule of job %s: could not be served now", job_ids[0])
                return
            # One of them harms no other.
            for job_id in job_ids:
                self._serve([job_id])

    def _serve_together(self, job_ids: Sequence[str]) -> None:
        # What is changed is written once at the end, and not before every query.
        with self._context.database.session() as session, session.no_autoflush:
            batch = Batch(session, self._context, job_ids)
            for row in batch.rows:
                serve(batch, row)
            batch.write()


def _batches(due: Sequence[ScheduleRow]) -> list[list[str]]:
    """Put schedules together, but those alone that cancel runs.

    A run's end locks the run and then the schedules that follow it; a scheduler that cancels
    locks them the other way round, so it must hold no schedule but the run's own.
    """
    together = [row.job_id for row in due if row.overlap != Overlap.cancel]
    alone = [[row.job_id] for row in due if row.overlap == Overlap.cancel]
    return [together, *alone] if together else alone

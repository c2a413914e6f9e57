"""Turn due slots into queued runs, each exactly once."""

from __future__ import annotations

import logging
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from perijove_hub.context import Context
from perijove_hub.jobs import schedule, wire
from perijove_hub.jobs.enqueue import enqueue
from perijove_hub.store import audit
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import JobRow, ScheduleRow

log = logging.getLogger(__name__)

#: Schedules served in one transaction.
BATCH = 50


class Scheduler:
    """Serves due slots. Several may do so on one database: a slot is unique for its job."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def step(self) -> None:
        """Serve what is due by the database's clock."""
        with self._context.database.reading() as session:
            due = session.scalars(
                select(ScheduleRow.job_id)
                .where(ScheduleRow.next_slot <= database_now(session))
                .order_by(ScheduleRow.next_slot)
                .limit(BATCH)
            ).all()
        for job_id in due:
            try:
                self._serve(job_id)
            except Exception:
                log.exception("schedule of job %s: could not be served now", job_id)

    def _serve(self, job_id: str) -> None:
        """Queue the latest due slot and move on, in one transaction."""
        with self._context.database.session() as session:
            row = session.scalar(
                select(ScheduleRow)
                .where(ScheduleRow.job_id == job_id)
                .with_for_update(skip_locked=True)
            )
            now = database_now(session)
            if (
                row is None
                or row.paused
                or row.cron is None
                or row.next_slot is None
                or row.next_slot > now
            ):
                return
            slot, skipped = schedule.missed(row.cron, row.timezone, first=row.next_slot, now=now)
            row.next_slot = schedule.next_slot(row.cron, row.timezone, slot)
            if skipped:
                detail = {"skipped": skipped, "served": slot.isoformat()}
                audit.record(session, "scheduler", "schedule.skip", job_id, **detail)
            self._queue(session, row, slot)

    def _queue(self, session: Session, row: ScheduleRow, slot: datetime) -> None:
        job = session.get_one(JobRow, row.job_id)
        run = enqueue(
            session,
            self._context,
            job,
            wire.latest_version(session, job.id).version,
            parameters=row.parameters,
            trigger="schedule",
            requested_by=job.owner,
            key=f"slot:{slot.isoformat()}",
            slot=slot,
        )
        if run is None:
            log.info("slot %s of job %s was served before", slot, job.id)

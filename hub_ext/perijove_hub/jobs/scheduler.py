"""Turn due slots into queued runs, each exactly once."""

from __future__ import annotations

import logging
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from perijove.types.jobs import RunState
from perijove_hub.context import Context
from perijove_hub.jobs import quota, schedule, wire
from perijove_hub.store import audit
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import JobRow, RunRow, ScheduleRow, utcnow

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
        run = RunRow(
            job_id=job.id,
            version=wire.latest_version(session, job.id).version,
            owner=job.owner,
            requested_by=job.owner,
            trigger="schedule",
            key=f"slot:{slot.isoformat()}",
            slot=slot,
            parameters=row.parameters,
        )
        if reason := quota.refusal(session, self._context.settings, job):
            # Written down as a run, where its owner looks for it.
            run.state, run.reason, run.ended_at = RunState.failed.value, reason, utcnow()
        try:
            with session.begin_nested():
                session.add(run)
        except IntegrityError:
            log.info("slot %s of job %s was served before", slot, job.id)
            return
        audit.record(session, "scheduler", "run.create", run.id, job=job.id)

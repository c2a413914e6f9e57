"""Set, remove and check the schedule of a job."""

from __future__ import annotations

from sqlalchemy.orm import Session

from perijove.types.base import Principal
from perijove.types.jobs import Follow, Schedule
from perijove_hub.context import Context
from perijove_hub.exceptions import Invalid
from perijove_hub.jobs import schedule, wire
from perijove_hub.jobs.values import checked
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import JobRow, ScheduleRow


def put(
    session: Session, context: Context, principal: Principal, job: JobRow, wanted: Schedule
) -> None:
    """Set a job's schedule; raises ``Invalid`` for anything wrong in ``wanted``."""
    if wanted.cron is None:
        raise Invalid("A schedule needs 'cron'.", field="schedule.cron", fix="Write '0 6 * * *'.")
    schedule.check(wanted.cron, wanted.timezone)
    parameters = wire.parameters(wire.latest_version(session, job.id))
    values = checked(parameters, wanted.parameters, field="schedule.parameters")
    now = database_now(session)
    due = None if wanted.paused else schedule.next_slot(wanted.cron, wanted.timezone, now)
    found = session.get(ScheduleRow, job.id) or ScheduleRow(job_id=job.id)
    found.cron, found.timezone = wanted.cron, wanted.timezone
    found.every_s, found.rule, found.dataset = wanted.every_s, wanted.rule, wanted.dataset
    found.version = wanted.version if isinstance(wanted.version, int) else None
    found.follow = Follow.latest if isinstance(wanted.version, int) else wanted.version
    found.catch_up, found.catch_up_window_s = wanted.catch_up, wanted.catch_up_window_s
    found.overlap = wanted.overlap
    found.parameters, found.paused, found.next_slot = values, wanted.paused, due
    session.add(found)


def remove(session: Session, job_id: str) -> None:
    """Remove a job's schedule, if it has one."""
    found = session.get(ScheduleRow, job_id)
    if found is not None:
        session.delete(found)


def fits(session: Session, job: JobRow) -> None:
    """See that a job's schedule, if it has one, fits its newest version; raises ``Invalid``."""
    kept = session.get(ScheduleRow, job.id)
    if kept is not None:
        parameters = wire.parameters(wire.latest_version(session, job.id))
        checked(parameters, kept.parameters, field="schedule.parameters")

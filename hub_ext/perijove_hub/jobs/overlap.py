"""What becomes of a slot while an earlier run of its schedule is not over."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, exists, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from perijove.types.jobs import Cause, Overlap, RunState
from perijove_hub.jobs import after
from perijove_hub.store import audit
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import RunRow, ScheduleRow

_ACTIVE = (RunState.queued.value, RunState.running.value)


#: Most runs of a schedule that are not over, where there is a limit: with ``queue`` one waits
#: for the other.
MOST = {Overlap.skip.value: 1, Overlap.queue.value: 2, Overlap.cancel.value: 1}


def active(session: Session, job_ids: Sequence[str]) -> dict[str, int]:
    """Count the runs by schedules that are not over, by job; people's runs do not count."""
    rows = (
        select(RunRow.job_id, func.count())
        .where(
            RunRow.job_id.in_(job_ids),
            RunRow.state.in_(_ACTIVE),
            RunRow.trigger.in_(after.AUTOMATIC),
        )
        .group_by(RunRow.job_id)
    )
    return {job_id: int(number) for job_id, number in session.execute(rows)}


def make_way(session: Session, job_id: str) -> None:
    """Cancel the runs of a job by its schedule that are not over."""
    reason = "The schedule's next run was due: it cancels the one before."
    now = database_now(session)
    found = select(RunRow.id).where(
        RunRow.job_id == job_id,
        RunRow.state.in_(_ACTIVE),
        RunRow.trigger.in_(after.AUTOMATIC),
    )
    for run_id in session.scalars(found).all():
        this = update(RunRow).where(RunRow.id == run_id)
        # Conditional, because the worker may take or end the run at this moment.
        ended = session.scalars(
            this.where(RunRow.state == RunState.queued.value)
            .values(
                state=RunState.cancelled.value,
                cause=Cause.cancelled.value,
                reason=reason,
                ended_at=now,
            )
            .returning(RunRow)
        ).all()
        session.execute(
            this.where(
                RunRow.state == RunState.running.value, RunRow.cancel_requested.is_(False)
            ).values(cancel_requested=True, reason=reason)
        )
        audit.record(session, "scheduler", "run.cancel", run_id)
        for run in ended:
            after.ended(session, run)


def held() -> ColumnElement[bool]:
    """The condition of queued runs that wait until an earlier run of their schedule is over."""
    earlier = aliased(RunRow)
    before = or_(
        earlier.state == RunState.running.value,
        earlier.queued_at < RunRow.queued_at,
        and_(earlier.queued_at == RunRow.queued_at, earlier.id < RunRow.id),
    )
    return and_(
        RunRow.trigger.in_(after.AUTOMATIC),
        exists(
            select(earlier.id)
            .join(ScheduleRow, ScheduleRow.job_id == earlier.job_id)
            .where(
                earlier.job_id == RunRow.job_id,
                earlier.id != RunRow.id,
                earlier.trigger.in_(after.AUTOMATIC),
                earlier.state.in_(_ACTIVE),
                ScheduleRow.overlap != Overlap.allow.value,
                before,
            )
            .correlate(RunRow)
        ),
    )

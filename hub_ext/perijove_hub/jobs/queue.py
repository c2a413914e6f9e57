"""Which queued run is the next that may start."""

from __future__ import annotations

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from perijove.types.jobs import RunState
from perijove_hub.jobs import overlap
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import JobRow, RunRow


def following(session: Session, *, group_concurrency: int | None) -> RunRow | None:
    """Return the queued run to start next; ``None`` when none may.

    Of those whose delay is over, that wait for no earlier run of their schedule and whose job and
    group have room, the one with the highest priority, and among equals the one that has waited
    longest. ``group_concurrency`` is how many runs the jobs of one group may have at once;
    ``None`` for no limit.
    """
    running = RunRow.state == RunState.running.value
    of_job = (
        select(RunRow.job_id, func.count().label("runs"))
        .where(running)
        .group_by(RunRow.job_id)
        .subquery()
    )
    rows = (
        select(RunRow)
        .join(JobRow, RunRow.job_id == JobRow.id)
        .outerjoin(of_job, of_job.c.job_id == RunRow.job_id)
        .where(
            RunRow.state == RunState.queued.value,
            or_(RunRow.not_before.is_(None), RunRow.not_before <= database_now(session)),
            or_(JobRow.concurrency.is_(None), func.coalesce(of_job.c.runs, 0) < JobRow.concurrency),
            ~overlap.held(),
        )
    )
    if group_concurrency is not None:
        full = (
            select(JobRow.group)
            .join(RunRow, RunRow.job_id == JobRow.id)
            .where(running, JobRow.group.is_not(None))
            .group_by(JobRow.group)
            .having(func.count() >= group_concurrency)
        )
        rows = rows.where(or_(JobRow.group.is_(None), JobRow.group.not_in(full)))
    order = (RunRow.priority.desc(), RunRow.queued_at, RunRow.id)
    return session.scalars(rows.order_by(*order).limit(1)).first()

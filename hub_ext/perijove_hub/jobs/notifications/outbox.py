"""Messages are written down in the transaction of what they tell, and sent afterwards.

So none is lost with a worker, and none tells of what was rolled back. What a message tells is its
key: noted twice it is one message.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, case, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from perijove.types.jobs import RunState
from perijove.types.notifications import DeliveryState, NotifyOn
from perijove_hub.jobs.kinds import FAILED, MANY
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import DeliveryRow, NotificationRow, RunRow, ScheduleRow

#: A message that is to be sent, as the table has it.
WAITING = DeliveryState.waiting.value
#: How long messages that are settled are shown.
KEPT = timedelta(days=90)
_SETTLED = (*FAILED, RunState.succeeded.value)


def started(session: Session, run: RunRow) -> None:
    """Note that a run has started; in the transaction that says so."""
    _note(session, run, {NotifyOn.started})


def ended(session: Session, run: RunRow) -> None:
    """Note how a run has ended; in the transaction that ends it, after its state was set."""
    if run.state in FAILED:
        _note(session, run, {NotifyOn.failed})
    elif run.state == RunState.succeeded.value:
        told = {NotifyOn.succeeded}
        if _before(session, run) in FAILED:
            told.add(NotifyOn.recovered)
        _note(session, run, told)


def late(session: Session) -> None:
    """Note the runs that should have ended by now, and the slots that nothing has served."""
    now = database_now(session)
    orders = select(NotificationRow).where(NotificationRow.late_after_s.is_not(None))
    for order in session.scalars(orders).all():
        since = now - timedelta(seconds=order.late_after_s or 0)
        active = select(RunRow).where(
            RunRow.job_id == order.job_id,
            RunRow.state.in_((RunState.queued.value, RunState.running.value)),
            _due() <= since,
            RunRow.trigger.not_in(MANY),
        )
        for run in session.scalars(active).all():
            slot = run.slot if run.trigger == "schedule" else None
            _put(session, order, NotifyOn.late, run.id, slot=slot)
        schedule = session.get(ScheduleRow, order.job_id)
        if schedule is not None and _unserved(schedule, since):
            _put(session, order, NotifyOn.late, "", slot=schedule.next_slot)


def forget(session: Session) -> None:
    """Delete messages that are settled and older than ``KEPT``."""
    before = database_now(session) - KEPT
    session.execute(
        delete(DeliveryRow).where(DeliveryRow.state != WAITING, DeliveryRow.created_at < before)
    )


def _due() -> ColumnElement[datetime]:
    """The instant from which a run's lateness counts: what it was to be there for."""
    return case(
        (RunRow.trigger == "schedule", func.coalesce(RunRow.slot, RunRow.queued_at)),
        else_=RunRow.queued_at,
    )


def _unserved(schedule: ScheduleRow, since: datetime) -> bool:
    """Tell whether a slot by the clock was due at ``since`` and has no run yet."""
    by_clock = schedule.cron is not None or schedule.every_s is not None
    slot = schedule.next_slot
    return by_clock and not schedule.paused and slot is not None and slot <= since


def _before(session: Session, run: RunRow) -> str | None:
    """Return how the job's run before this one ended, leaving out what people cancelled."""
    return session.scalar(
        select(RunRow.state)
        .where(
            RunRow.job_id == run.job_id,
            RunRow.id != run.id,
            RunRow.state.in_(_SETTLED),
            RunRow.trigger.not_in(MANY),
            RunRow.queued_at <= run.queued_at,
        )
        .order_by(RunRow.queued_at.desc(), RunRow.id.desc())
        .limit(1)
    )


def _note(session: Session, run: RunRow, told: set[NotifyOn]) -> None:
    if run.trigger in MANY:
        return
    orders = select(NotificationRow).where(NotificationRow.job_id == run.job_id)
    for order in session.scalars(orders).all():
        for event in sorted(told & set(map(NotifyOn, order.on))):
            _put(session, order, event, run.id)


def _put(
    session: Session,
    order: NotificationRow,
    event: NotifyOn,
    run_id: str,
    *,
    slot: datetime | None = None,
) -> None:
    # A slot is told of once, whether it has its run yet or not.
    what = f"slot:{slot.isoformat()}" if slot else run_id
    make = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    session.execute(
        make(DeliveryRow)
        .values(
            notification_id=order.id,
            key=f"{event}:{what}",
            event=event.value,
            run_id=run_id,
            next_at=database_now(session),
        )
        .on_conflict_do_nothing(index_elements=[DeliveryRow.notification_id, DeliveryRow.key])
    )

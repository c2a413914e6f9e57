"""The worker's part of notifications: send what was noted, and note what is late."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from sqlalchemy import CursorResult, select, update

from perijove.types.notifications import NotifyOn
from perijove_hub.context import Context
from perijove_hub.jobs.notifications import outbox
from perijove_hub.jobs.notifications.message import Message
from perijove_hub.jobs.notifications.service import NotificationService, record
from perijove_hub.secrets.sealing import WrongKey
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import DeliveryRow, JobRow, NotificationRow, RunRow

log = logging.getLogger(__name__)

#: Seconds before each further attempt; after the last one a message is given up.
PAUSES = (10, 60, 300, 1800, 7200)
#: Messages sent at once, and seconds between two looks for runs that are late.
AT_ONCE, LATE_LOOK = 8, 30.0
#: Seconds in which nobody else sends what one worker is sending.
CLAIM = 90


class NotificationDuty:
    """Sends each message until it arrived: at least once, with the same id each time."""

    name = "notifications"
    period = 1.0

    def __init__(self, context: Context) -> None:
        self._context = context
        self._service = NotificationService(context)
        self._pool = ThreadPoolExecutor(AT_ONCE, "notifications")
        self._looked: datetime | None = None

    def tick(self) -> None:
        """Send what is due."""
        self._look_for_late()
        due = self._claim()
        if due:
            list(self._pool.map(self._send, due))

    def _look_for_late(self) -> None:
        with self._context.database.reading() as session:
            now = database_now(session)
        if self._looked is not None and abs((now - self._looked).total_seconds()) < LATE_LOOK:
            return
        with self._context.database.session() as session:
            outbox.late(session)
        self._looked = now

    def _claim(self) -> Sequence[str]:
        """Take what is due, so that no other worker sends it meanwhile."""
        with self._context.database.reading() as session:
            now = database_now(session)
            due = session.execute(
                select(DeliveryRow.id, DeliveryRow.attempts)
                .where(DeliveryRow.state == "waiting", DeliveryRow.next_at <= now)
                .order_by(DeliveryRow.next_at)
                .limit(AT_ONCE)
            ).all()
        taken = []
        for delivery_id, attempts in due:
            with self._context.database.session() as session:
                until = database_now(session) + timedelta(seconds=CLAIM)
                result = session.execute(
                    update(DeliveryRow)
                    .where(
                        DeliveryRow.id == delivery_id,
                        DeliveryRow.state == "waiting",
                        DeliveryRow.attempts == attempts,
                    )
                    .values(attempts=attempts + 1, next_at=until)
                )
                assert isinstance(result, CursorResult)  # noqa: S101 - for the type checker
                if result.rowcount:
                    taken.append(delivery_id)
        return taken

    def _send(self, delivery_id: str) -> None:
        message: Message | None = None
        final = False
        try:
            with self._context.database.reading() as session:
                delivery = session.get(DeliveryRow, delivery_id)
                if delivery is None:
                    return
                order = session.get_one(NotificationRow, delivery.notification_id)
                run = session.get(RunRow, delivery.run_id)
                job = session.get_one(JobRow, order.job_id)
            if run is None or job.deleted_at is not None:
                error: str | None = "the job was deleted"
                final = True
            else:
                message = self._message(delivery, run, job)
                error = self._service.deliver(order, job, message)
        except WrongKey:
            error, final = "its target cannot be opened with the key here", True
        except Exception as failure:
            # One of ours: it counts as an attempt, so that it is not tried for ever.
            log.exception("message %s: this attempt failed", delivery_id)
            error = f"it could not be sent ({type(failure).__name__})"
        self._settle(delivery_id, message, error, final=final)

    def _settle(
        self, delivery_id: str, message: Message | None, error: str | None, *, final: bool
    ) -> None:
        with self._context.database.session() as session:
            delivery = session.get(DeliveryRow, delivery_id)
            if delivery is None:
                return
            order = session.get_one(NotificationRow, delivery.notification_id)
            if error is None:
                delivery.state = "sent"
            elif final or delivery.attempts > len(PAUSES):
                delivery.state = "given up"
            else:
                pause = PAUSES[delivery.attempts - 1]
                delivery.next_at = database_now(session) + timedelta(seconds=pause)
            if message is not None:
                record(order, message, error)

    def _message(self, delivery: DeliveryRow, run: RunRow, job: JobRow) -> Message:
        return Message(
            id=delivery.id,
            event=NotifyOn(delivery.event),
            at=delivery.created_at,
            job=job.name,
            owner=job.owner,
            run_id=run.id,
            state=run.state,
            version=run.version,
            trigger=run.trigger,
            reason=run.reason,
            cause=run.cause,
            slot=run.slot,
            url=self._context.topology.public_url,
        )

"""Send what was noted, and note what is late: the worker does it, or the API where none lives."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import CursorResult, func, select, update

from perijove.types.base import Principal
from perijove.types.notifications import DeliveryState, NotifyOn
from perijove_hub.access import may_see
from perijove_hub.context import Context
from perijove_hub.jobs.notifications import outbox
from perijove_hub.jobs.notifications.message import Message
from perijove_hub.jobs.notifications.service import NotificationService, record
from perijove_hub.jobs.owners import is_user
from perijove_hub.secrets.sealing import WrongKey
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import DeliveryRow, JobRow, NotificationRow, PrincipalRow, RunRow

log = logging.getLogger(__name__)

#: Seconds before each further attempt; after the last one a message is given up.
PAUSES = (10, 60, 300, 1800, 7200)
#: Messages sent at once, of all people and of each who ordered them: a slow receiver holds up
#: only whoever chose it.
AT_ONCE, EACH = 16, 4
#: Seconds that a step waits for what it sends, and between two looks for runs that are late.
WAIT, LATE_LOOK = 1.0, 30.0
#: Seconds in which nobody else sends what one worker is sending.
CLAIM = 90


class NotificationDuty:
    """Sends each message until it arrived: at least once, with the same id each time."""

    name = "notifications"
    period = 1.0

    def __init__(self, context: Context) -> None:
        self._context = context
        self._service = NotificationService(context)
        self._busy: dict[threading.Thread, tuple[str, str]] = {}
        """The message that each thread sends, and who ordered it."""
        self._ended: queue.SimpleQueue[threading.Thread] = queue.SimpleQueue()
        self._looked: datetime | None = None

    def tick(self) -> None:
        """Send what is due; what takes longer goes on beside the next steps."""
        self._look_for_late()
        until = time.monotonic() + WAIT
        self._some_ended(until=0.0)
        while time.monotonic() < until:
            for delivery_id, who in self._claim():
                # Of its own, so that the worker's end waits for none.
                thread = threading.Thread(target=self._work, args=(delivery_id,), daemon=True)
                thread.start()
                self._busy[thread] = delivery_id, who
            # Before one has ended there is nothing else to take.
            if not self._some_ended(until):
                return

    def _work(self, delivery_id: str) -> None:
        try:
            self._send(delivery_id)
        finally:
            self._ended.put(threading.current_thread())

    def _some_ended(self, until: float) -> bool:
        """Wait for a thread to end; false when none does until then, or none is left."""
        some = False
        while self._busy:
            left = 0.0 if some else max(0.0, until - time.monotonic())
            try:
                del self._busy[self._ended.get(timeout=left)]
            except queue.Empty:
                break
            some = True
        return some

    def _look_for_late(self) -> None:
        with self._context.database.reading() as session:
            now = database_now(session)
        if self._looked is not None and abs((now - self._looked).total_seconds()) < LATE_LOOK:
            return
        with self._context.database.session() as session:
            outbox.late(session)
        self._looked = now

    def _claim(self) -> Sequence[tuple[str, str]]:
        """Take what is due, so that no other worker sends it meanwhile; with who ordered it."""
        sending = Counter(who for _, who in self._busy.values())
        who = NotificationRow.created_by
        # Their oldest each, so that one person's thousands hide nobody else's.
        place = func.row_number().over(partition_by=who, order_by=DeliveryRow.next_at)
        with self._context.database.reading() as session:
            now = database_now(session)
            ranked = (
                select(
                    DeliveryRow.id,
                    DeliveryRow.attempts,
                    DeliveryRow.next_at,
                    who,
                    place.label("place"),
                )
                .join(NotificationRow, NotificationRow.id == DeliveryRow.notification_id)
                .where(
                    DeliveryRow.state == outbox.WAITING,
                    DeliveryRow.next_at <= now,
                    # A claim that has run out: our own thread may still send it.
                    DeliveryRow.id.not_in([one for one, _ in self._busy.values()]),
                    who.not_in([one for one, count in sending.items() if count >= EACH]),
                )
                .subquery()
            )
            due = session.execute(
                select(ranked.c.id, ranked.c.attempts, ranked.c.created_by)
                .where(ranked.c.place <= EACH)
                .order_by(ranked.c.next_at)
                .limit(AT_ONCE)
            ).all()
        taken: list[tuple[str, str]] = []
        for delivery_id, attempts, name in due:
            if sending.total() == AT_ONCE:
                break
            if sending[name] == EACH:
                continue
            with self._context.database.session() as session:
                until = database_now(session) + timedelta(seconds=CLAIM)
                result = session.execute(
                    update(DeliveryRow)
                    .where(
                        DeliveryRow.id == delivery_id,
                        DeliveryRow.state == outbox.WAITING,
                        DeliveryRow.attempts == attempts,
                    )
                    .values(attempts=attempts + 1, next_at=until)
                )
                assert isinstance(result, CursorResult)  # noqa: S101 - for the type checker
                if result.rowcount:
                    taken.append((delivery_id, name))
                    sending[name] += 1
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
            if job.deleted_at is not None:
                error: str | None = "the job was deleted"
                final = True
            elif not self._may_be_told(order.created_by, job):
                error, final = f"{order.created_by}, who ordered it, may not see the job", True
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
            now = database_now(session)
            delivery.tried_at, delivery.error = now, error
            if error is None:
                delivery.state = DeliveryState.sent.value
            elif final or delivery.attempts > len(PAUSES):
                delivery.state = DeliveryState.given_up.value
            else:
                delivery.next_at = now + timedelta(seconds=PAUSES[delivery.attempts - 1])
            if message is not None or final:
                record(order, now, error)

    def _may_be_told(self, who: str, job: JobRow) -> bool:
        """Tell whether who ordered a message still may see what it tells.

        They may have left the group, or the job may have been taken from it.
        """
        if who == job.owner:
            return True
        if not is_user(self._context, who):
            return False
        with self._context.database.reading() as session:
            known = session.get(PrincipalRow, who)
        groups, admin = (known.groups, known.admin) if known else ([], False)
        return may_see(Principal(name=who, groups=groups, admin=admin), job)

    def _message(self, delivery: DeliveryRow, run: RunRow | None, job: JobRow) -> Message:
        told: dict[str, Any] = {
            "id": delivery.id,
            "event": NotifyOn(delivery.event),
            "at": delivery.created_at,
            "job": job.name,
            "owner": job.owner,
            "url": self._context.topology.public_url,
        }
        if run is None:
            slot = datetime.fromisoformat(delivery.key.partition(":slot:")[2])
            return Message(**told, slot=slot, reason="Nothing has begun to serve this slot.")
        return Message(
            **told,
            run_id=run.id,
            state=run.state,
            version=run.version,
            trigger=run.trigger,
            reason=run.reason,
            cause=run.cause,
            slot=run.slot,
        )

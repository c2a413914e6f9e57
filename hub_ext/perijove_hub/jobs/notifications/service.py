"""Standing orders to tell of a job's runs."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import cast

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from perijove.types.base import Page, Principal
from perijove.types.notifications import (
    Channel,
    Delivery,
    DeliveryState,
    Notification,
    NotificationCreate,
    NotifyOn,
)
from perijove_hub.access import may_change
from perijove_hub.api.paging import paginate
from perijove_hub.context import Context
from perijove_hub.exceptions import Conflict, Invalid, NotFound
from perijove_hub.jobs.finding import only_its_owner
from perijove_hub.jobs.notifications import addresses, mail, webhook
from perijove_hub.jobs.notifications.exceptions import NotDelivered
from perijove_hub.jobs.notifications.message import Message
from perijove_hub.jobs.service import find, find_to_change
from perijove_hub.secrets.sealing import Sealer
from perijove_hub.store import audit
from perijove_hub.store.models import DeliveryRow, JobRow, NotificationRow, new_id

#: Most orders of one job.
MOST = 20
_ADDRESS = re.compile(r"[^@\s\x00-\x1f<>(),;:\"\\]{1,64}@([a-z0-9.-]{1,255})")


class NotificationService:
    """What may be done with notifications: the job's owner orders them, who sees it sees them."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def create(self, principal: Principal, job_id: str, body: NotificationCreate) -> Notification:
        """Make an order. Raises ``Invalid`` for a target nobody is told at from here."""
        body = self._checked(body)
        key = webhook.new_key() if body.channel is Channel.webhook else None
        with self._context.database.session() as session:
            job = find_to_change(session, principal, job_id)
            count = select(func.count()).where(NotificationRow.job_id == job.id)
            if (session.scalar(count) or 0) >= MOST:
                raise Conflict(
                    f"'{job.name}' has {MOST} notifications already.", fix="Remove one first."
                )
            row = NotificationRow(id=new_id(), job_id=job.id, channel=body.channel.value)
            row.target, row.shown = self._seal(row, job, body.target), _shown(body)
            row.signing_key = self._seal(row, job, key) if key else None
            row.on = sorted({event.value for event in body.on})
            row.late_after_s, row.created_by = body.late_after_s, principal.name
            session.add(row)
            audit.record(
                session, principal, "notification.create", row.id, job=job.id, to=row.shown
            )
            session.flush()
            return _wire(row).model_copy(update={"signing_key": key})

    def list(
        self, principal: Principal, job_id: str, *, cursor: str | None, limit: int
    ) -> Page[Notification]:
        """List a job's orders, oldest first."""
        with self._context.database.reading() as session:
            job = find(session, principal, job_id)
            found, following = paginate(
                session,
                select(NotificationRow).where(NotificationRow.job_id == job.id),
                by=NotificationRow.created_at,
                tie=NotificationRow.id,
                cursor=cursor,
                limit=limit,
            )
            return Page[Notification](items=[_wire(row) for row in found], next_cursor=following)

    def deliveries(
        self, principal: Principal, job_id: str, *, cursor: str | None, limit: int
    ) -> Page[Delivery]:
        """List a job's messages, newest first: to whoever may change it."""
        with self._context.database.reading() as session:
            job = find(session, principal, job_id)
            if not may_change(principal, job):
                raise only_its_owner(job, f"see which messages '{job.name}' sent")
            # First these: what is deleted in between takes its messages along.
            orders = {
                row.id: row
                for row in session.scalars(
                    select(NotificationRow).where(NotificationRow.job_id == job.id)
                )
            }
            found, following = paginate(
                session,
                select(DeliveryRow).where(DeliveryRow.notification_id.in_(orders)),
                by=DeliveryRow.created_at,
                tie=DeliveryRow.id,
                cursor=cursor,
                limit=limit,
                descending=True,
            )
            items = [_delivery(row, orders[row.notification_id]) for row in found]
            return Page[Delivery](items=items, next_cursor=following)

    def delete(self, principal: Principal, notification_id: str) -> None:
        """Remove an order; what was not sent yet is not sent."""
        with self._context.database.session() as session:
            row, _ = self._find_to_change(session, principal, notification_id)
            audit.record(session, principal, "notification.delete", row.id, job=row.job_id)
            session.delete(row)

    def test(self, principal: Principal, notification_id: str) -> Notification:
        """Send a message that tells of no run; raises ``Conflict`` when it does not arrive."""
        with self._context.database.reading() as session:
            row, job = self._find_to_change(session, principal, notification_id)
        message = Message(
            id=f"test-{new_id()}",
            event=None,
            at=datetime.now(UTC),
            job=job.name,
            owner=job.owner,
            url=self._context.topology.public_url,
        )
        error = self.deliver(row, job, message)
        with self._context.database.session() as session:
            current, job = self._find_to_change(session, principal, notification_id)
            record(current, message.at, error)
            if error is None:
                return _wire(current)
        raise Conflict(f"The message did not arrive: {error}.", fix="Mend that, and test again.")

    def deliver(self, row: NotificationRow, job: JobRow, message: Message) -> str | None:
        """Send ``message``; return why it did not arrive."""
        settings = self._context.settings.notifications
        target = self._open(row, job, row.target)
        try:
            if row.channel == Channel.webhook:
                key = self._open(row, job, row.signing_key or "")
                webhook.send(target, key, message, allow=settings.allow)
            elif settings.smtp is None or not self._is_written_to(target):
                return "e-mails are no longer sent there"
            else:
                mail.send(target, message, settings.smtp)
        except (addresses.Refusal, NotDelivered) as error:
            return str(error)
        return None

    def _checked(self, body: NotificationCreate) -> NotificationCreate:
        if (NotifyOn.late in body.on) != (body.late_after_s is not None):
            raise Invalid(
                "'late' and 'late_after_s' go together.",
                field="late_after_s",
                fix="Say after how many seconds a run is late, and have 'late' in 'on'.",
            )
        if body.channel is Channel.webhook:
            self._check_url(body.target)
            return body
        return body.model_copy(update={"target": self._checked_address(body.target)})

    def _check_url(self, url: str) -> None:
        try:
            addresses.resolve(url, allow=self._context.settings.notifications.allow)
        except addresses.Refusal as error:
            raise Invalid(
                f"No message is sent to this URL: {error}.",
                field="target",
                fix="Give an https:// URL of a public host.",
            ) from None

    def _checked_address(self, text: str) -> str:
        local, _, domain = text.rpartition("@")
        address = f"{local}@{domain.lower()}"
        if self._context.settings.notifications.smtp is None:
            raise Invalid(
                "No e-mails are sent from here.",
                field="channel",
                fix="Use a webhook, or ask an administrator to set notifications.smtp.",
            )
        if not self._is_written_to(address):
            domains = ", ".join(self._context.settings.notifications.email_domains) or "none"
            raise Invalid(
                f"'{text}' is no address that is written to from here.",
                field="target",
                fix=f"Give an address of one of these domains: {domains}.",
            )
        return address

    def _is_written_to(self, address: str) -> bool:
        match = _ADDRESS.fullmatch(address)
        return bool(match) and cast("re.Match[str]", match)[1] in (
            domain.lower() for domain in self._context.settings.notifications.email_domains
        )

    def _seal(self, row: NotificationRow, job: JobRow, value: str) -> str:
        return Sealer(self._context.data).seal(value, owner=job.owner, name=row.id)

    def _open(self, row: NotificationRow, job: JobRow, sealed: str) -> str:
        return Sealer(self._context.data).open(sealed, owner=job.owner, name=row.id)

    def _find_to_change(
        self, session: Session, principal: Principal, notification_id: str
    ) -> tuple[NotificationRow, JobRow]:
        row = session.get(NotificationRow, notification_id)
        missing = NotFound("There is no such notification.", fix="List those of the job.")
        if row is None:
            raise missing
        try:
            job = find(session, principal, row.job_id)
        except NotFound:
            raise missing from None
        if not may_change(principal, job):
            raise only_its_owner(job, f"change who is told of '{job.name}'")
        return row, job


def record(row: NotificationRow, at: datetime, error: str | None) -> None:
    """Remember on the order how its newest message went."""
    row.last_error = error
    if error is None:
        row.last_sent_at = at


def _wire(row: NotificationRow) -> Notification:
    return Notification(
        id=row.id,
        job_id=row.job_id,
        channel=Channel(row.channel),
        target=row.shown,
        on=[NotifyOn(event) for event in row.on],
        late_after_s=row.late_after_s,
        created_by=row.created_by,
        created_at=row.created_at,
        last_sent_at=row.last_sent_at,
        last_error=row.last_error,
    )


def _delivery(row: DeliveryRow, order: NotificationRow) -> Delivery:
    waits = row.state == DeliveryState.waiting
    return Delivery(
        id=row.id,
        notification_id=row.notification_id,
        channel=Channel(order.channel),
        target=order.shown,
        event=NotifyOn(row.event),
        run_id=row.run_id or None,
        state=DeliveryState(row.state),
        attempts=row.attempts,
        error=row.error,
        created_at=row.created_at,
        tried_at=row.tried_at,
        next_at=row.next_at if waits else None,
    )


def _shown(body: NotificationCreate) -> str:
    if body.channel is Channel.webhook:
        host, _ = addresses.split(body.target, allow=("0.0.0.0/0",))
        return f"{host}/…"
    return body.target

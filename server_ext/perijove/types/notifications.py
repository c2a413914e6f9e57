"""Who is told how a job's runs go."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from perijove.types.base import Wire


class NotifyOn(StrEnum):
    """What of a run somebody is told."""

    started = "started"
    succeeded = "succeeded"
    failed = "failed"
    """It ended otherwise than by success or a person's word."""
    late = "late"
    """It has not ended ``late_after_s`` after its slot, or after it was queued where it has none;
    told also of a slot that nothing serves."""
    recovered = "recovered"
    """It succeeded, and the job's run before it had failed."""


class Channel(StrEnum):
    """How somebody is told."""

    webhook = "webhook"
    email = "email"


class NotificationCreate(Wire):
    """Have a job's runs told of."""

    channel: Channel
    target: str = Field(min_length=3, max_length=2000)
    """The webhook's URL, or the e-mail address."""
    on: list[NotifyOn] = Field(
        default=[NotifyOn.failed, NotifyOn.recovered], min_length=1, max_length=5
    )
    late_after_s: int | None = Field(default=None, ge=60, le=30 * 86_400)
    """Seconds; given exactly when ``on`` has ``late``."""


class Notification(Wire):
    """A standing order to tell of a job's runs."""

    id: str
    job_id: str
    channel: Channel
    target: str
    """The address; of a webhook's URL no more than the host, because the rest may be secret."""
    on: list[NotifyOn]
    late_after_s: int | None = None
    created_by: str
    created_at: datetime
    last_sent_at: datetime | None = None
    last_error: str | None = None
    """Why the newest attempt failed; null when it did not."""
    signing_key: str | None = None
    """What a webhook's messages are signed with; shown once, in the answer that makes it."""


class DeliveryState(StrEnum):
    """How far a message has got."""

    waiting = "waiting"
    """It is to be sent, or sent again."""
    sent = "sent"
    given_up = "given up"


class Delivery(Wire):
    """One message to one recipient."""

    id: str
    """The same in every attempt: what a webhook gets as ``webhook-id``."""
    notification_id: str
    channel: Channel
    target: str
    event: NotifyOn
    run_id: str | None = None
    """Null when it tells of a slot that nothing has served."""
    state: DeliveryState
    attempts: int
    error: str | None = None
    """Why the newest attempt failed; null when it did not."""
    created_at: datetime
    tried_at: datetime | None = None
    """When it was sent, or last tried in vain."""
    next_at: datetime | None = None
    """When it is tried next; null when it is no more."""

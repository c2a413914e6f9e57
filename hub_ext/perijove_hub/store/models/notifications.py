"""Who is told of a job's runs, and what they were told."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from perijove_hub.store.models.base import Base, new_id, utcnow


class NotificationRow(Base):
    """A standing order to tell of a job's runs."""

    __tablename__ = "notifications"

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    channel: Mapped[str] = mapped_column(String(16))
    target: Mapped[str] = mapped_column(Text)
    """Encrypted: a webhook's URL may hold a password."""
    shown: Mapped[str]
    """What everybody who sees the job may see of the target."""
    on: Mapped[list[Any]] = mapped_column("events")
    late_after_s: Mapped[int | None]
    signing_key: Mapped[str | None] = mapped_column(Text)
    """Encrypted; webhooks only."""
    created_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    last_sent_at: Mapped[datetime | None]
    last_error: Mapped[str | None] = mapped_column(Text)


class DeliveryRow(Base):
    """One message that is to be sent, once for what it tells."""

    __tablename__ = "notification_deliveries"
    __table_args__ = (
        UniqueConstraint("notification_id", "key", name="uq_notification_deliveries_key"),
        Index("ix_notification_deliveries_due", "state", "next_at"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    notification_id: Mapped[str] = mapped_column(ForeignKey("notifications.id", ondelete="CASCADE"))
    key: Mapped[str]
    """``failed:RUN``: what it tells of which run; ``late:slot:INSTANT``."""
    event: Mapped[str] = mapped_column(String(16))
    run_id: Mapped[str] = mapped_column(String(32))
    """Empty when it tells of a slot that nothing has served."""
    state: Mapped[str] = mapped_column(String(16), default="waiting")
    """``waiting``, ``sent`` or ``given up``."""
    attempts: Mapped[int] = mapped_column(default=0)
    next_at: Mapped[datetime]
    """When it is tried next, by the database's clock."""
    tried_at: Mapped[datetime | None]
    """When it was sent, or last tried in vain."""
    error: Mapped[str | None] = mapped_column(Text)
    """Why its newest attempt failed; null when that did not."""
    created_at: Mapped[datetime] = mapped_column(default=utcnow)

"""GPUs, their leases, and what was used."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    Float,
    ForeignKey,
    Index,
    String,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from perijove_hub.store.models.base import Base, new_id, utcnow


class GpuRow(Base):
    """A device the inventory has found."""

    __tablename__ = "gpus"

    id: Mapped[str] = mapped_column(primary_key=True)
    """The vendor's id, such as ``GPU-5ac6…``."""
    model: Mapped[str] = mapped_column(default="")
    memory_mb: Mapped[int | None]
    shares: Mapped[int] = mapped_column(default=1)
    present: Mapped[bool] = mapped_column(default=True)
    seen_at: Mapped[datetime] = mapped_column(default=utcnow)


class GpuLeaseRow(Base):
    """A share of a device in use; the key is what makes it exclusive."""

    __tablename__ = "gpu_leases"

    gpu: Mapped[str] = mapped_column(ForeignKey("gpus.id"), primary_key=True)
    share: Mapped[int] = mapped_column(primary_key=True)
    """From 0 to the device's ``shares`` - 1."""
    kind: Mapped[str] = mapped_column(String(16))
    """``workspace``, ``kernel``, ``run`` or ``replica``."""
    holder: Mapped[str] = mapped_column(index=True)
    user: Mapped[str] = mapped_column("user_name")
    acquired_at: Mapped[datetime] = mapped_column(default=utcnow)


class UsageRow(Base):
    """One stretch of something running for somebody, and what it cost."""

    __tablename__ = "usage"
    __table_args__ = (
        Index("ix_usage_group_started", "group_name", "started_at"),
        # One open stretch of each thing, however many processes notice that it runs.
        Index(
            "uq_usage_open",
            "kind",
            "object",
            unique=True,
            sqlite_where=text("ended_at IS NULL"),
            postgresql_where=text("ended_at IS NULL"),
        ),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    kind: Mapped[str] = mapped_column(String(16))
    """``workspace``, ``kernel``, ``run``, ``replica`` or ``build``."""
    object: Mapped[str] = mapped_column(index=True)
    """The holder's name: ``USER/SERVER`` of a workspace, else an id."""
    user: Mapped[str] = mapped_column("user_name", index=True)
    group: Mapped[str | None] = mapped_column("group_name")
    image: Mapped[str] = mapped_column(default="")
    digest: Mapped[str | None] = mapped_column(String(80))
    size: Mapped[str] = mapped_column(default="")
    cpu: Mapped[float] = mapped_column(Float, default=0)
    memory_mb: Mapped[int] = mapped_column(default=0)
    gpus: Mapped[float] = mapped_column(Float, default=0)
    price: Mapped[float] = mapped_column(Float, default=0)
    """Per hour, as it was when it started."""
    started_at: Mapped[datetime] = mapped_column(default=utcnow)
    seen_at: Mapped[datetime] = mapped_column(default=utcnow)
    """When it was last seen running; the end of one that vanished."""
    ended_at: Mapped[datetime | None] = mapped_column(index=True)
    warned_at: Mapped[datetime | None]
    """When its user was told that the group's quota is used up."""

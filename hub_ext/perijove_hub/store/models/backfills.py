"""Backfills and their slots."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, ForeignKeyConstraint, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from perijove_hub.store.models.base import Base, new_id, utcnow


class BackfillRow(Base):
    """A range that a job is run for."""

    __tablename__ = "backfills"
    __table_args__ = (
        ForeignKeyConstraint(
            ["job_id", "version"],
            ["job_versions.job_id", "job_versions.version"],
            ondelete="CASCADE",
        ),
        Index("ix_backfills_job_created", "job_id", "created_at"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    job_id: Mapped[str] = mapped_column(String(32))
    version: Mapped[int]
    state: Mapped[str] = mapped_column(String(16), default="running", index=True)
    reason: Mapped[str | None] = mapped_column(Text)
    requested_by: Mapped[str]
    spec: Mapped[dict[str, Any]]
    """What was asked for, as ``BackfillCreate``."""
    total: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    ended_at: Mapped[datetime | None]


class BackfillSlotRow(Base):
    """One slot, or one value, of a backfill; its run is made when there is room for it."""

    __tablename__ = "backfill_slots"
    __table_args__ = (Index("ix_backfill_slots_state", "backfill_id", "state"),)

    backfill_id: Mapped[str] = mapped_column(
        ForeignKey("backfills.id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    """``waiting``, ``skipped``, ``unmade``, or ``made``: then its run says the rest."""
    slot: Mapped[datetime | None]
    parameters: Mapped[dict[str, Any]]
    run_id: Mapped[str | None] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    earlier_run_id: Mapped[str | None] = mapped_column(String(32))
    earlier_state: Mapped[str | None] = mapped_column(String(16))

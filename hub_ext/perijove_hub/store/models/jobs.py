"""Jobs, versions, schedules and runs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    Float,
    ForeignKey,
    Index,
    String,
    Text,
    UniqueConstraint,
    false,
)
from sqlalchemy.orm import Mapped, mapped_column

from perijove_hub.store.models.base import Base, OwnedRow, Timestamps, new_id, utcnow


class JobRow(OwnedRow, Base):
    """A promoted notebook."""

    __tablename__ = "jobs"
    __table_args__ = (UniqueConstraint("owner", "name"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    name: Mapped[str]
    memory_mb: Mapped[int | None]
    timeout_s: Mapped[int | None]
    deleted_at: Mapped[datetime | None]


class JobVersionRow(Base):
    """An immutable snapshot: notebook (a blob) and parameter schema."""

    __tablename__ = "job_versions"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    notebook_sha256: Mapped[str] = mapped_column(String(64))
    parameters: Mapped[list[Any]] = mapped_column(default=list)
    path: Mapped[str] = mapped_column(Text, default="")
    image: Mapped[str | None]
    """``NAME@VERSION`` of the image the notebook ran in; null for the default."""
    image_digest: Mapped[str | None] = mapped_column(String(80))
    created_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class ScheduleRow(Timestamps, Base):
    """When a job runs by itself; one per job."""

    __tablename__ = "schedules"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    cron: Mapped[str]
    timezone: Mapped[str] = mapped_column(String(64), default="UTC")
    parameters: Mapped[dict[str, Any]] = mapped_column(default=dict)
    paused: Mapped[bool] = mapped_column(default=False)
    next_slot: Mapped[datetime | None] = mapped_column(index=True)


class RunRow(Base):
    """One execution of a job's version. ``epoch`` fences writers that lost their lease."""

    __tablename__ = "runs"
    __table_args__ = (
        UniqueConstraint("job_id", "slot", name="uq_runs_slot"),
        Index("ix_runs_job_queued", "job_id", "queued_at"),
        Index("ix_runs_state", "state"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    version: Mapped[int]
    owner: Mapped[str]
    requested_by: Mapped[str]
    trigger: Mapped[str] = mapped_column(String(16), default="manual")
    slot: Mapped[datetime | None]
    """The scheduled instant; null for manual runs, which the constraint then ignores."""
    attempt: Mapped[int] = mapped_column(default=1)
    epoch: Mapped[int] = mapped_column(default=0)
    state: Mapped[str] = mapped_column(String(16), default="queued")
    reason: Mapped[str | None] = mapped_column(Text)
    parameters: Mapped[dict[str, Any]] = mapped_column(default=dict)
    cancel_requested: Mapped[bool] = mapped_column(default=False, server_default=false())
    cells_done: Mapped[int] = mapped_column(default=0)
    cells_total: Mapped[int] = mapped_column(default=0)
    current_cell: Mapped[str] = mapped_column(default="")
    failed_cell: Mapped[int | None]
    peak_memory_mb: Mapped[float | None] = mapped_column(Float)
    queued_at: Mapped[datetime] = mapped_column(default=utcnow)
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    output_sha256: Mapped[str | None] = mapped_column(String(64))
    log_sha256: Mapped[str | None] = mapped_column(String(64))

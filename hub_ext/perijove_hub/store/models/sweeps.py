"""Sweeps and their trials."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, ForeignKeyConstraint, Index, String, Text, false
from sqlalchemy.orm import Mapped, mapped_column

from perijove_hub.store.models.base import Base, new_id, utcnow


class SweepRow(Base):
    """A search over a job's parameters."""

    __tablename__ = "sweeps"
    __table_args__ = (
        ForeignKeyConstraint(
            ["job_id", "version"],
            ["job_versions.job_id", "job_versions.version"],
            ondelete="CASCADE",
        ),
        Index("ix_sweeps_job_created", "job_id", "created_at"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    job_id: Mapped[str] = mapped_column(String(32))
    version: Mapped[int]
    state: Mapped[str] = mapped_column(String(16), default="running", index=True)
    reason: Mapped[str | None] = mapped_column(Text)
    requested_by: Mapped[str]
    spec: Mapped[dict[str, Any]]
    """What was asked for, as ``SweepCreate``."""
    trials: Mapped[int]
    tracking_run_id: Mapped[str | None] = mapped_column(String(64))
    tracking_open: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Whether MLflow's run is still to be ended."""
    tracking_note: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    ended_at: Mapped[datetime | None]


class TrialRow(Base):
    """One run of a sweep. What came of it is written at its run."""

    __tablename__ = "sweep_trials"

    sweep_id: Mapped[str] = mapped_column(
        ForeignKey("sweeps.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True)
    parameters: Mapped[dict[str, Any]]
    """The searched ones."""
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))

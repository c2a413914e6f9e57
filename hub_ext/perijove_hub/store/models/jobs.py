"""Jobs, versions, schedules and runs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
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
    __table_args__ = (
        UniqueConstraint("owner", "name"),
        Index("uq_jobs_owner_group_name", "owner_group", "name", unique=True),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    name: Mapped[str]
    owner_group: Mapped[str | None]
    """A group whose members own the job as well; its runs act as who promoted their version."""
    memory_mb: Mapped[int | None]
    timeout_s: Mapped[int | None]
    cell_timeout_s: Mapped[int | None]
    max_output_mb: Mapped[int | None]
    concurrency: Mapped[int | None]
    priority: Mapped[int] = mapped_column(default=0, server_default="0")
    retries: Mapped[int] = mapped_column(default=0, server_default="0")
    retry_delay_s: Mapped[int] = mapped_column(default=60, server_default="60")
    retry_backoff: Mapped[float] = mapped_column(Float, default=2.0, server_default="2")
    keep_days: Mapped[int | None]
    keep_failed_days: Mapped[int | None]
    deleted_at: Mapped[datetime | None]


class JobVersionRow(Base):
    """An immutable snapshot: notebook and input files (blobs), parameter schema and image."""

    __tablename__ = "job_versions"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), default="", server_default="")
    """SHA-256 over all of it; empty for versions made before there was one."""
    notebook_sha256: Mapped[str] = mapped_column(String(64))
    parameters: Mapped[list[Any]] = mapped_column(default=list)
    path: Mapped[str] = mapped_column(Text, default="")
    image: Mapped[str | None]
    """``NAME@VERSION`` of the image the notebook ran in; null for the default."""
    image_digest: Mapped[str | None] = mapped_column(String(80))
    created_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    approved_by: Mapped[str | None]
    approved_at: Mapped[datetime | None]


class JobInputRow(Base):
    """A file that a version keeps for its runs."""

    __tablename__ = "job_inputs"
    __table_args__ = (
        ForeignKeyConstraint(
            ["job_id", "version"],
            ["job_versions.job_id", "job_versions.version"],
            ondelete="CASCADE",
        ),
    )

    job_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    path: Mapped[str] = mapped_column(String(1024), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    bytes: Mapped[int] = mapped_column(BigInteger)


class ScheduleRow(Timestamps, Base):
    """When a job runs by itself; one per job."""

    __tablename__ = "schedules"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    cron: Mapped[str | None]
    every_s: Mapped[int | None]
    anchor: Mapped[datetime | None]
    """From when the slots of ``every_s`` are counted."""
    rule: Mapped[str] = mapped_column(
        String(16), default="all_success", server_default="all_success"
    )
    dataset: Mapped[str | None] = mapped_column(Text)
    dataset_seen: Mapped[dict[str, Any] | None]
    """What the last crawl that was looked at said of it."""
    timezone: Mapped[str] = mapped_column(String(64), default="UTC")
    parameters: Mapped[dict[str, Any]] = mapped_column(default=dict)
    version: Mapped[int | None]
    """Null: what ``follow`` says."""
    follow: Mapped[str] = mapped_column(String(16), default="latest", server_default="latest")
    catch_up: Mapped[str] = mapped_column(String(16), default="latest", server_default="latest")
    catch_up_window_s: Mapped[int | None]
    overlap: Mapped[str] = mapped_column(String(16), default="queue", server_default="queue")
    paused: Mapped[bool] = mapped_column(default=False)
    next_slot: Mapped[datetime | None] = mapped_column(index=True)
    last_slot: Mapped[datetime | None]


class UpstreamRow(Base):
    """One of the jobs after which a job runs, and what it has ended since that last ran."""

    __tablename__ = "job_upstreams"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    upstream_id: Mapped[str] = mapped_column(
        ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    run_id: Mapped[str | None] = mapped_column(String(32))
    """Its newest run that has ended and was not yet followed."""


class WorkerRow(Base):
    """A worker that serves this database, by its lease."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    """The same again when a worker of the same data directory is started."""
    host: Mapped[str]
    started_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    """By the database's clock; then others may take over its runs."""
    leads_since: Mapped[datetime | None]
    """Set for the one that does what is done once for the whole installation."""


class RunRow(Base):
    """One execution of a job's version. ``epoch`` fences writers that lost their lease."""

    __tablename__ = "runs"
    __table_args__ = (
        UniqueConstraint("job_id", "key", name="uq_runs_key"),
        Index("ix_runs_job_queued", "job_id", "queued_at"),
        Index("ix_runs_state", "state", "priority"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    version: Mapped[int]
    owner: Mapped[str]
    requested_by: Mapped[str]
    trigger: Mapped[str] = mapped_column(String(16), default="manual")
    key: Mapped[str | None]
    """What it was made for, once: ``slot:2026-11-21T06:00:00+00:00``, ``after:RUN+RUN``,
    ``backfill:ID:3``; null for what people ask for, which the constraint then ignores."""
    slot: Mapped[datetime | None]
    attempt: Mapped[int] = mapped_column(default=1)
    priority: Mapped[int] = mapped_column(default=0, server_default="0")
    not_before: Mapped[datetime | None]
    worker: Mapped[str | None] = mapped_column(String(64))
    rerun_of: Mapped[str | None] = mapped_column(String(32))
    upstream: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")
    """By job's name: the runs after which it runs, whose artifacts it gets."""
    tracking_parent: Mapped[str | None] = mapped_column(String(64))
    """MLflow's run above those that its notebook tracks: its sweep's."""
    epoch: Mapped[int] = mapped_column(default=0)
    state: Mapped[str] = mapped_column(String(16), default="queued")
    reason: Mapped[str | None] = mapped_column(Text)
    cause: Mapped[str | None] = mapped_column(String(16))
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
    metrics: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")
    output_sha256: Mapped[str | None] = mapped_column(String(64))
    log_sha256: Mapped[str | None] = mapped_column(String(64))
    events_sha256: Mapped[str | None] = mapped_column(String(64))
    """The runner's events, JSON lines: when each cell ran."""
    dropped_at: Mapped[datetime | None]
    """When retention deleted its outputs."""


class AttemptRow(Base):
    """A try of a run that was followed by another; the last one is the run's own."""

    __tablename__ = "run_attempts"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(Text)
    cause: Mapped[str | None] = mapped_column(String(16))
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    failed_cell: Mapped[int | None]
    peak_memory_mb: Mapped[float | None] = mapped_column(Float)
    output_sha256: Mapped[str | None] = mapped_column(String(64))
    log_sha256: Mapped[str | None] = mapped_column(String(64))
    events_sha256: Mapped[str | None] = mapped_column(String(64))


class ArtifactRow(Base):
    """A file that a run left in its folder ``outputs``."""

    __tablename__ = "run_artifacts"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    path: Mapped[str] = mapped_column(String(1024), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    bytes: Mapped[int] = mapped_column(BigInteger)

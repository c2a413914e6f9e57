"""Every table. Nothing outside this package writes SQL against them without these classes."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


def new_id() -> str:
    """Make an opaque identifier: 20 hexadecimal digits, safe in URLs and container names."""
    return secrets.token_hex(10)


def utcnow() -> datetime:
    """Return the present instant, aware."""
    return datetime.now(UTC)


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC instants in databases that only know naive ones."""

    impl = DateTime
    cache_ok = True

    @property
    def python_type(self) -> type[datetime]:
        """What a value of it is."""
        return datetime

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Store as naive UTC; refuse a naive value, whose zone nobody could know."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"naive datetime {value!r}: give it a time zone")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Load as aware UTC."""
        return None if value is None else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    """Declarative base with the types our columns use."""

    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it off the class
        datetime: UtcDateTime,
        dict[str, Any]: JSON,
        list[Any]: JSON,
        str: String(255),
    }


class Timestamps:
    """When a row was made and last changed."""

    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow)


class OwnedRow(Timestamps):
    """Columns that ``access.may`` decides by."""

    owner: Mapped[str]
    group: Mapped[str | None] = mapped_column("group_name")
    visibility: Mapped[str] = mapped_column(String(16), default="private")


# --- identity -------------------------------------------------------------------------


class LoginRow(Timestamps, Base):
    """An account of the embedded authenticator; the password is stored only as a scrypt hash."""

    __tablename__ = "logins"

    name: Mapped[str] = mapped_column(primary_key=True)
    password_hash: Mapped[str] = mapped_column(Text)
    admin: Mapped[bool] = mapped_column(default=False)
    groups: Mapped[list[Any]] = mapped_column(default=list)


class PrincipalRow(Base):
    """What the Hub last said of a user, so that runs start while it is down."""

    __tablename__ = "principals"

    name: Mapped[str] = mapped_column(primary_key=True)
    groups: Mapped[list[Any]] = mapped_column(default=list)
    admin: Mapped[bool] = mapped_column(default=False)
    seen_at: Mapped[datetime] = mapped_column(default=utcnow)


class RunTokenRow(Base):
    """A short-lived token of one job run; only its SHA-256 is kept."""

    __tablename__ = "run_tokens"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    user: Mapped[str]
    run_id: Mapped[str] = mapped_column(index=True)
    expires_at: Mapped[datetime]


class IdempotencyRow(Base):
    """The answer to a create that carried an ``Idempotency-Key``, for whoever asks again."""

    __tablename__ = "idempotency_keys"

    user: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_sha256: Mapped[str] = mapped_column(String(64))
    object_id: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class AuditRow(Base):
    """Who did what to which object."""

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    )
    at: Mapped[datetime] = mapped_column(default=utcnow, index=True)
    actor: Mapped[str]
    verb: Mapped[str] = mapped_column(String(64))
    object: Mapped[str]
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)


# --- catalog --------------------------------------------------------------------------


class SourceRow(Timestamps, Base):
    """What the last crawl of a configured source found; its URL stays in the settings."""

    __tablename__ = "sources"

    name: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(64))
    description: Mapped[str] = mapped_column(Text, default="")
    groups: Mapped[list[Any]] = mapped_column(default=list)
    state: Mapped[str] = mapped_column(String(16), default="pending")
    error: Mapped[str | None] = mapped_column(Text)
    crawled_at: Mapped[datetime | None]
    crawl_requested_at: Mapped[datetime | None]


class DatasetRow(Base):
    """A table, view or file."""

    __tablename__ = "datasets"

    name: Mapped[str] = mapped_column(String(800), primary_key=True)
    source: Mapped[str] = mapped_column(ForeignKey("sources.name", ondelete="CASCADE"), index=True)
    schema_name: Mapped[str]
    table: Mapped[str] = mapped_column("table_name")
    kind: Mapped[str] = mapped_column(String(16), default="table")
    row_count: Mapped[int | None] = mapped_column(BigInteger)
    comment: Mapped[str] = mapped_column(Text, default="")
    columns: Mapped[list[ColumnRow]] = relationship(
        cascade="all, delete-orphan", order_by="ColumnRow.position", lazy="selectin"
    )


class ColumnRow(Base):
    """One column of a dataset."""

    __tablename__ = "columns"

    dataset: Mapped[str] = mapped_column(
        String(800), ForeignKey("datasets.name", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    type: Mapped[str]
    nullable: Mapped[bool] = mapped_column(Boolean, default=True)
    comment: Mapped[str] = mapped_column(Text, default="")


# --- jobs -----------------------------------------------------------------------------


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


# --- models ---------------------------------------------------------------------------


class DeploymentRow(OwnedRow, Base):
    """A stable URL; names are unique because the URL holds nothing else."""

    __tablename__ = "deployments"

    name: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(String(32), unique=True, default=new_id)
    model: Mapped[str]
    version: Mapped[int]
    workspace: Mapped[str]
    """The MLflow workspace the version was resolved in."""
    state: Mapped[str] = mapped_column(String(16), default="starting")
    reason: Mapped[str | None] = mapped_column(Text)
    inputs: Mapped[list[Any]] = mapped_column(default=list)
    outputs: Mapped[list[Any]] = mapped_column(default=list)
    input_example: Mapped[dict[str, Any] | None]
    generation: Mapped[int] = mapped_column(default=1)
    """Grows with every change of model or version; replicas carry the one they serve."""
    stopping: Mapped[bool] = mapped_column(default=False, server_default=false())


class ReplicaRow(Timestamps, Base):
    """One serving workload."""

    __tablename__ = "replicas"

    workload: Mapped[str] = mapped_column(primary_key=True)
    """The launcher's name for it, made of the deployment's id, generation and attempt."""
    deployment: Mapped[str] = mapped_column(
        ForeignKey("deployments.name", ondelete="CASCADE"), index=True
    )
    generation: Mapped[int]
    version: Mapped[int] = mapped_column(default=0, server_default="0")
    """The model version it serves, to tell people of after the deployment has moved on."""
    attempt: Mapped[int] = mapped_column(default=1)
    address: Mapped[str | None]
    """``host:port`` once it listens."""
    state: Mapped[str] = mapped_column(String(16), default="starting")
    """``starting``, ``ready``, ``failed``, ``lost`` (gone without a trace) or ``stopped``."""
    reason: Mapped[str | None] = mapped_column(Text)

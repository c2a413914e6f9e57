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
    text,
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


class LooseBlobRow(Base):
    """A blob that perhaps nothing refers to: just stored, or let go by a row that named it."""

    __tablename__ = "loose_blobs"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    since: Mapped[datetime]
    """By the database's clock; it is left alone for a while from then on."""


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
    image: Mapped[str | None]
    """``NAME@VERSION`` of the image its replicas run in; null for the default."""
    image_digest: Mapped[str | None] = mapped_column(String(80))
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


# --- images ---------------------------------------------------------------------------


class ImageRow(OwnedRow, Base):
    """A named environment; what starts is one of its versions, by digest."""

    __tablename__ = "images"

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(unique=True)
    description: Mapped[str] = mapped_column(Text, default="")
    current: Mapped[int | None]
    """The version that starts when none is named; a rollback sets it to an earlier one."""
    builtin: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Shipped with Perijove and registered by ``perijove up``."""


class ImageVersionRow(Base):
    """One build of an image."""

    __tablename__ = "image_versions"

    image_id: Mapped[str] = mapped_column(
        ForeignKey("images.id", ondelete="CASCADE"), primary_key=True
    )
    version: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(String(16), default="draft")
    """``draft``, ``tested``, ``approved`` or ``retired``; only approved ones start."""
    digest: Mapped[str | None] = mapped_column(String(80), index=True)
    """The engine's id, ``sha256:…``; null until it is built."""
    base_digest: Mapped[str | None] = mapped_column(String(80))
    spec: Mapped[dict[str, Any] | None]
    interfaces: Mapped[list[Any]] = mapped_column(default=list)
    gpu: Mapped[bool] = mapped_column(default=False)
    """Whether it brings GPU libraries."""
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    smoke_test: Mapped[str | None] = mapped_column(Text)
    """What the smoke test said when it failed; null when it passed or has not run."""
    created_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    approved_by: Mapped[str | None]
    approved_at: Mapped[datetime | None]
    retired_at: Mapped[datetime | None]
    removed_at: Mapped[datetime | None]
    """When it left the engine, long after it was retired; ``spec`` stays."""


class PackageRow(Base):
    """A package in a version of an image."""

    __tablename__ = "packages"

    image_id: Mapped[str] = mapped_column(
        ForeignKey("images.id", ondelete="CASCADE"), primary_key=True
    )
    version: Mapped[int] = mapped_column(primary_key=True)
    manager: Mapped[str] = mapped_column(String(8), primary_key=True)
    """``pip``, ``apt`` or ``conda``."""
    name: Mapped[str] = mapped_column(primary_key=True, index=True)
    package_version: Mapped[str]


class BuildRow(Base):
    """The making of a version. ``epoch`` fences workers as it does for runs."""

    __tablename__ = "builds"

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    image_id: Mapped[str] = mapped_column(ForeignKey("images.id", ondelete="CASCADE"), index=True)
    version: Mapped[int]
    requested_by: Mapped[str]
    approve: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Whether an administrator asked for its approval when its tests pass."""
    state: Mapped[str] = mapped_column(String(16), default="queued", index=True)
    """``queued``, ``running``, ``succeeded``, ``failed`` or ``cancelled``."""
    reason: Mapped[str | None] = mapped_column(Text)
    epoch: Mapped[int] = mapped_column(default=0)
    attempt: Mapped[int] = mapped_column(default=1)
    cancel_requested: Mapped[bool] = mapped_column(default=False, server_default=false())
    step: Mapped[int] = mapped_column(default=0)
    steps: Mapped[int] = mapped_column(default=0)
    step_name: Mapped[str] = mapped_column(default="")
    log_sha256: Mapped[str | None] = mapped_column(String(64))
    queued_at: Mapped[datetime] = mapped_column(default=utcnow)
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


# --- workspaces -----------------------------------------------------------------------


class WorkspaceRow(Timestamps, Base):
    """What is known of a user's server between and during its runs."""

    __tablename__ = "workspaces"

    user: Mapped[str] = mapped_column("user_name", primary_key=True)
    server: Mapped[str] = mapped_column(primary_key=True, default="")
    """The named server; empty for the default one."""
    choice: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """The last profile that started: image, version, size, interface, group, idle minutes."""
    container: Mapped[str | None]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    ending: Mapped[str | None] = mapped_column(Text)
    """Why the last one ended, for the user: idle, out of memory, stopped, engine lost."""
    activity: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """What it last reported to be busy with."""
    reported_at: Mapped[datetime | None]
    active_at: Mapped[datetime | None]
    warned_at: Mapped[datetime | None]
    keep_until: Mapped[datetime | None]
    """Not shut off before; set by the user's "keep alive"."""
    home_bytes: Mapped[int | None] = mapped_column(BigInteger)


class WarmRow(Base):
    """A started container that nobody has used, or that somebody has claimed."""

    __tablename__ = "warm"

    container: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(String(80))
    size: Mapped[str]
    recipe: Mapped[str] = mapped_column(String(32))
    """What it was made of, as a digest: only a start that wants just that may claim it."""
    slot: Mapped[str] = mapped_column(String(64))
    """Its folder under the data directory's ``slots``."""
    state: Mapped[str] = mapped_column(String(16), default="starting")
    """``starting``, ``ready`` or ``claimed``; from ``claimed`` nothing leads back."""
    claimed_by: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    claimed_at: Mapped[datetime | None]


class KernelRow(Timestamps, Base):
    """A remote kernel: a container of its own, for one kernel of one workspace."""

    __tablename__ = "kernels"

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    user: Mapped[str] = mapped_column("user_name", index=True)
    server: Mapped[str] = mapped_column(default="")
    group: Mapped[str | None] = mapped_column("group_name")
    image: Mapped[str]
    digest: Mapped[str] = mapped_column(String(80))
    size: Mapped[str]
    state: Mapped[str] = mapped_column(String(16), default="queued", index=True)
    """``queued``, ``starting``, ``running``, ``stopping``, ``ended`` or ``failed``."""
    reason: Mapped[str | None] = mapped_column(Text)
    attempt: Mapped[int] = mapped_column(default=1)
    address: Mapped[str | None]
    ports: Mapped[list[Any]] = mapped_column(default=list)
    stop_requested: Mapped[bool] = mapped_column(default=False, server_default=false())
    exit_code: Mapped[int | None]
    """Of its process, when it ended by itself; negative for a signal."""
    active_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


# --- GPUs and usage -------------------------------------------------------------------


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


# --- files ----------------------------------------------------------------------------


class SharedFolderRow(Base):
    """The number of a shared folder's operating-system group."""

    __tablename__ = "shared_folders"

    name: Mapped[str] = mapped_column(primary_key=True)
    gid: Mapped[int] = mapped_column(unique=True)


class ShareRow(Base):
    """A copy of a notebook somebody offers to others, with the image it ran in."""

    __tablename__ = "shares"

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    sender: Mapped[str] = mapped_column(index=True)
    receiver: Mapped[str | None] = mapped_column(index=True)
    """One user; null when it is for ``group``."""
    group: Mapped[str | None] = mapped_column("group_name", index=True)
    name: Mapped[str]
    """The file's name, without folders."""
    notebook_sha256: Mapped[str | None] = mapped_column(String(64))
    """Null once the one user it was for has dismissed it."""
    image: Mapped[str | None]
    """``NAME@VERSION`` of the workspace it came from."""
    image_digest: Mapped[str | None] = mapped_column(String(80))
    message: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    expires_at: Mapped[datetime]


class ShareDismissalRow(Base):
    """Somebody who was given a share does not want to see it any more."""

    __tablename__ = "share_dismissals"

    share_id: Mapped[str] = mapped_column(
        ForeignKey("shares.id", ondelete="CASCADE"), primary_key=True
    )
    user: Mapped[str] = mapped_column("user_name", primary_key=True)

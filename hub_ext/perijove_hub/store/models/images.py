"""Images, versions, packages and builds."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    String,
    Text,
    false,
)
from sqlalchemy.orm import Mapped, mapped_column

from perijove_hub.store.models.base import Base, OwnedRow, new_id, utcnow


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

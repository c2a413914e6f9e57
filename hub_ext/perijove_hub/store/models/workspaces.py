"""Workspaces, warm containers and remote kernels."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    String,
    Text,
    false,
)
from sqlalchemy.orm import Mapped, mapped_column

from perijove_hub.store.models.base import Base, Timestamps, new_id, utcnow


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

"""Shared folders and shared copies."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    ForeignKey,
    String,
    Text,
)
from sqlalchemy.orm import Mapped, mapped_column

from perijove_hub.store.models.base import Base, new_id, utcnow


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

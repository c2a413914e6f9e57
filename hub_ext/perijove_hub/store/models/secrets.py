"""Secrets of jobs."""

from __future__ import annotations

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from perijove_hub.store.models.base import Base, Timestamps


class SecretRow(Timestamps, Base):
    """A user's secret, encrypted with a key that is not in the database."""

    __tablename__ = "secrets"

    owner: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    sealed: Mapped[str] = mapped_column(Text)
    """A Fernet token over owner, name and value, so that none serves under another name."""

"""Who is who: logins, principals, tokens, idempotency keys and the audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Integer,
    String,
    Text,
)
from sqlalchemy.orm import Mapped, mapped_column

from perijove_hub.store.models.base import Base, Timestamps, utcnow


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

"""The database's clock: the one all processes agree on."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

_SQLITE = text("SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')")
_POSTGRESQL = text("SELECT clock_timestamp()")


def database_now(session: Session) -> datetime:
    """Return the present instant as the database knows it, aware."""
    if session.get_bind().dialect.name == "sqlite":
        found = session.execute(_SQLITE).scalar_one()
        return datetime.fromisoformat(found).replace(tzinfo=UTC)
    now: datetime = session.execute(_POSTGRESQL).scalar_one()
    return now.astimezone(UTC)

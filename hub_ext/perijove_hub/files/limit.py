"""The soft limit of homes: no new start above it."""

from __future__ import annotations

from sqlalchemy.orm import Session

from perijove_hub.context import Context


def over_limit(context: Context, session: Session, user: str) -> str | None:
    """Return why ``user`` may not start anything for the size of their home, or ``None``."""
    return None

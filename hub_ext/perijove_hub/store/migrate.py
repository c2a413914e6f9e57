"""Bring the database to this version's schema."""

from __future__ import annotations

from perijove_hub.store.database import Database
from perijove_hub.store.models import Base


def upgrade(database: Database) -> None:
    """Create or migrate every table."""
    Base.metadata.create_all(database.engine)

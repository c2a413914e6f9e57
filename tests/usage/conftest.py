"""The book on either database, and rows of any age."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from perijove_hub.settings import Settings, SizeSettings
from perijove_hub.store import Database
from perijove_hub.store.models import UsageRow
from tests.gpus.conftest import database, postgres_url

__all__ = ["database", "postgres_url"]

GPU = SizeSettings(gpus=1, price=2.0, memory_mb=8192)
SETTINGS = Settings.model_validate(
    {
        "workspaces": {
            "sizes": {
                "small": {"memory_mb": 2048, "price": 0.5},
                "large": {"memory_mb": 8192, "price": 1.0},
                "gpu": {"memory_mb": 8192, "gpus": 1, "price": 2.0},
            }
        },
        "usage": {"quotas": {"research": {"hours": 100, "gpu_hours": 10, "cost": 50}}},
    }
)


def at(text: str) -> datetime:
    """Read ``2026-11-21 06:00`` as UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def ran(database: Database, start: datetime, end: datetime, **more: Any) -> None:
    """Write down something that ran."""
    values: dict[str, Any] = {"kind": "workspace", "object": "ada/", "user": "ada"}
    values |= {"group": "research", "size": "small", "price": 0.5, **more}
    with database.session() as session:
        session.add(UsageRow(**values, started_at=start, seen_at=end, ended_at=end))

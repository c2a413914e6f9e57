"""The worker's clearing up: shares that have expired, then blobs that nothing names."""

from __future__ import annotations

from perijove_hub.context import Context
from perijove_hub.shares.service import end
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import ShareRow
from perijove_hub.store.sweep import sweep


class ShareDuty:
    """Ends shares when their time is up, and removes the blobs that this and others let go."""

    name = "shares"
    period = 300.0

    def __init__(self, context: Context) -> None:
        self._context = context

    def tick(self) -> None:
        """Clear up once."""
        with self._context.database.session() as session:
            end(session, ShareRow.expires_at <= database_now(session))
        sweep(self._context.database, self._context.blobs)

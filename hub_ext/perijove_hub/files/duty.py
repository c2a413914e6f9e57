"""The worker's look at the homes of running workspaces."""

from __future__ import annotations

from sqlalchemy import select

from perijove_hub.context import Context
from perijove_hub.files import limit, measure
from perijove_hub.files.homes import home_of
from perijove_hub.store.models import WorkspaceRow

#: Seconds for one home; an unfinished look is recorded only when it is already above the limit.
BUDGET = 20.0


class HomeDuty:
    """Notes how large the homes of running workspaces are."""

    name = "homes"
    period = 300.0

    def __init__(self, context: Context) -> None:
        self._context = context

    def tick(self) -> None:
        """Measure every home in use once."""
        running = select(WorkspaceRow.user).where(
            WorkspaceRow.started_at.is_not(None), WorkspaceRow.ended_at.is_(None)
        )
        with self._context.database.reading() as session:
            users = session.scalars(running.distinct()).all()
        for user in users:
            self._measure(user)

    def _measure(self, user: str) -> None:
        home = home_of(self._context, user)
        if home is None:
            return
        found = measure.home(home, BUDGET)
        allowed = self._context.settings.workspaces.home_mb * 2**20
        if found.complete or found.bytes > allowed:
            with self._context.database.session() as session:
                limit.record(session, user, found.bytes)

"""Warn idle workspaces, let them make their checkpoints, and stop them."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from perijove.types.culling import Idleness
from perijove_hub.context import Context
from perijove_hub.culling import service
from perijove_hub.culling.verdict import CHECKPOINTS
from perijove_hub.store import audit
from perijove_hub.store.models import WorkspaceRow, utcnow
from perijove_hub.workspaces import servers

log = logging.getLogger(__name__)

#: A workspace that has said nothing for so long is judged by what the Hub sees of it.
SILENCE = timedelta(minutes=3)


class CullDuty:
    """Looks at every running workspace; what it knows is in the database, so it may be killed."""

    name = "culling"

    def __init__(self, context: Context, *, period: float = 10.0) -> None:
        self._context = context
        self.period = period

    def tick(self) -> None:
        """Look at every workspace once. Raises ``Unavailable`` when the Hub is away."""
        for server in servers.running(self._context):
            if server.ready and server.pending is None:
                try:
                    self._look(server)
                except Exception:
                    log.exception("workspace %s: this look at it failed", server.holder)

    def _look(self, server: servers.Server) -> None:
        if self._judge(server, utcnow()):
            log.info("stopping workspace %s", server.holder)
            servers.stop(self._context, user=server.user, server=server.name)

    def _judge(self, server: servers.Server, now: datetime) -> bool:
        """Take a workspace's next step; tell whether it is to be stopped now."""
        settings = self._context.settings
        with self._context.database.session() as session:
            row = session.get(WorkspaceRow, (server.user, server.name))
            if row is None:
                row = WorkspaceRow(user=server.user, server=server.name, activity={}, choice={})
                row.started_at = server.started_at or now
                session.add(row)
                session.flush()
            if row.reported_at is None or now - row.reported_at > SILENCE:
                # Its extension does not run or was turned off: the Hub's word counts.
                last = server.last_activity or server.started_at or now
                service.note_activity(session, row, [], last, now)
            asked = service.checkpoints_asked_at(row)
            if asked is not None:
                if now - asked < CHECKPOINTS and not service.has_checkpoints(row):
                    return False
                if service.ending_of(row) is None:
                    audit.record(session, "worker", "workspace.cull", server.holder, **row.choice)
                self._end(row)
                return True
            state = service.times(settings, row, now).state(now)
            if state is Idleness.warned and row.warned_at is None:
                row.warned_at = now
            elif state is Idleness.stopping:
                service.ask_for_checkpoints(row, now)
            return False

    def _end(self, row: WorkspaceRow) -> None:
        minutes = service.idle_minutes(self._context.settings, row)
        unit = "minute" if minutes == 1 else "minutes"
        idle = f"It was shut off after {minutes} {unit} without activity."
        row.ending = service.ending_of(row) or idle
        row.activity = {}
        row.warned_at = row.keep_until = None

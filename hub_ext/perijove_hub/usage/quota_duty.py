"""The worker's part of quotas: warn who is over theirs, and stop what still runs after a while."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from perijove_hub.context import Context
from perijove_hub.exceptions import ProblemError
from perijove_hub.kernels import ledger as kernels
from perijove_hub.settings import Settings
from perijove_hub.store import audit
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import KernelRow, UsageRow, WorkspaceRow
from perijove_hub.usage import quotas
from perijove_hub.workspaces import servers

log = logging.getLogger(__name__)

#: How long people may save their work after they were warned.
GRACE = timedelta(minutes=10)
#: What is stopped. Runs end by themselves, and a deployment's callers are not its group.
STOPPED = ("workspace", "kernel")


@dataclass(frozen=True)
class Stop:
    """A workspace whose time is up."""

    user: str
    server: str


class QuotaDuty:
    """Looks at every group with a quota; what it knows is in the database."""

    name = "quotas"
    period = 30.0

    def __init__(self, context: Context, *, grace: timedelta = GRACE) -> None:
        self._context = context
        self._grace = grace
        self._told: set[str] = set()

    def tick(self) -> None:
        """Warn, forgive and stop."""
        settings = self._context.settings
        with self._context.database.session() as session:
            stops = [
                stop
                for group in settings.usage.quotas
                for stop in self._look(session, settings, group)
            ]
        for stop in stops:
            try:
                servers.stop(self._context, user=stop.user, server=stop.server)
            except ProblemError as error:
                log.warning("%s/%s is over its quota: %s", stop.user, stop.server, error)

    def _look(self, session: Session, settings: Settings, group: str) -> list[Stop]:
        rows = select(UsageRow).where(
            UsageRow.group == group, UsageRow.ended_at.is_(None), UsageRow.kind.in_(STOPPED)
        )
        over = [one for one in quotas.standings(session, settings, group) if one.over]
        now = database_now(session)
        stops = []
        for row in session.scalars(rows):
            why = next((one for one in over if one.counts(gpus=row.gpus, price=row.price)), None)
            if why is None:
                row.warned_at = None
            elif row.warned_at is None:
                row.warned_at = now
                audit.record(session, "worker", "quota.warn", row.object, group=group)
            if why is not None and row.warned_at is not None and now - row.warned_at >= self._grace:
                sentence = f"It was stopped. {why.sentence(settings.usage.currency)}"
                stops += self._end(session, row, sentence)
        return stops

    def _end(self, session: Session, row: UsageRow, ending: str) -> list[Stop]:
        """Mark what is to be stopped and say why; a kernel's own duty stops it."""
        if row.id not in self._told:
            self._told.add(row.id)
            audit.record(session, "worker", "quota.stop", row.object, group=row.group)
        if row.kind == "kernel":
            kernel = session.get(KernelRow, row.object)
            if kernel is not None and not kernel.stop_requested:
                kernels.ask_to_stop(session, kernel, ending)
            return []
        user, _, server = row.object.partition("/")
        workspace = session.get(WorkspaceRow, (user, server))
        if workspace is not None:
            workspace.ending = ending
        return [Stop(user, server)]

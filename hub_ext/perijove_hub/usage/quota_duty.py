"""The worker's part of quotas: warn who is over theirs, and stop what still runs after a while."""

from __future__ import annotations

import logging

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from perijove_hub.context import Context
from perijove_hub.culling import service as culling
from perijove_hub.kernels import ledger as kernels
from perijove_hub.settings import Settings
from perijove_hub.store import audit
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import KernelRow, UsageRow, WorkspaceRow, utcnow
from perijove_hub.store.turns import take_turn
from perijove_hub.usage import quotas

log = logging.getLogger(__name__)

#: What is stopped. Runs end by themselves, and a deployment's callers are not its group.
STOPPED = ("workspace", "kernel")


class QuotaDuty:
    """Looks at every group with a quota; what it knows is in the database.

    It stops nothing itself: a workspace makes its checkpoints and is stopped as an idle one is,
    a kernel by its own duty.
    """

    name = "quotas"
    period = 30.0

    def __init__(self, context: Context) -> None:
        self._context = context

    def tick(self) -> None:
        """Warn, forgive, and ask for the end of what was warned long enough ago."""
        settings = self._context.settings
        with self._context.database.session() as session:
            take_turn(session, self.name)
            # A group whose quota was taken away.
            others = _running().where(UsageRow.warned_at.is_not(None))
            for row in session.scalars(others).all():
                if row.group not in settings.usage.quotas:
                    self._forgive(session, row)
            for group in settings.usage.quotas:
                self._look(session, settings, group)

    def _look(self, session: Session, settings: Settings, group: str) -> None:
        over = [one for one in quotas.standings(session, settings, group) if one.over]
        now = database_now(session)
        for row in session.scalars(_running().where(UsageRow.group == group)):
            why = next((one for one in over if one.counts(gpus=row.gpus, price=row.price)), None)
            if why is None:
                self._forgive(session, row)
                continue
            if row.warned_at is None:
                row.warned_at = now
                audit.record(session, "worker", "quota.warn", row.object, group=group)
            until = quotas.stops_at(settings, row)
            if until is not None and now >= until:
                sentence = f"It was stopped. {why.sentence(settings.usage.currency)}"
                if self._end(session, row, sentence):
                    audit.record(session, "worker", "quota.stop", row.object, group=group)
                    log.info("%s %s: %s", row.kind, row.object, sentence)

    def _forgive(self, session: Session, row: UsageRow) -> None:
        """Take a warning back: the limit was raised, or old hours left the window."""
        if row.warned_at is None:
            return
        row.warned_at = None
        audit.record(session, "worker", "quota.forgive", row.object, group=row.group)
        workspace = _workspace(session, row)
        if workspace is not None:
            culling.call_off(workspace)

    def _end(self, session: Session, row: UsageRow, ending: str) -> bool:
        """Ask for its end; false when that was asked before, or there is nothing to end."""
        if row.kind == "kernel":
            kernel = session.get(KernelRow, row.object)
            if kernel is None or kernel.stop_requested:
                return False
            return kernels.ask_to_stop(session, kernel, ending)
        workspace = _workspace(session, row)
        if workspace is None or culling.checkpoints_asked_at(workspace) is not None:
            return False
        culling.ask_for_checkpoints(workspace, utcnow(), why=ending)
        return True


def _running() -> Select[UsageRow]:
    return select(UsageRow).where(UsageRow.ended_at.is_(None), UsageRow.kind.in_(STOPPED))


def _workspace(session: Session, row: UsageRow) -> WorkspaceRow | None:
    user, _, server = row.object.partition("/")
    return session.get(WorkspaceRow, (user, server)) if row.kind == "workspace" else None

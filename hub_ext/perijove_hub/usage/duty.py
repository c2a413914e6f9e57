"""The worker's part of accounting: keep the book true to what runs, whoever forgot to write."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from perijove_hub.context import Context
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import UsageRow
from perijove_hub.store.turns import take_turn
from perijove_hub.usage import alive, ledger, things
from perijove_hub.usage.things import Thing

#: How long something may be on its way up before it counts as gone.
STARTING = timedelta(minutes=2)
#: How far back runs and builds are looked for that nobody saw running.
MISSED = timedelta(days=2)


class UsageDuty:
    """Writes down what is seen, and closes what is gone; bears being killed anywhere.

    Each step is one transaction, and says the same when it is done twice or by two workers.
    """

    name = "usage"
    period = 30.0

    def __init__(self, context: Context) -> None:
        self._context = context

    def tick(self) -> None:
        """Look at what runs and set the book right."""
        # Before the transaction, which must not wait for Hub or engine.
        seen = alive.look(self._context)
        settings = self._context.settings
        with self._context.database.session() as session:
            take_turn(session, self.name)
            since = database_now(session) - MISSED
            workspaces = things.workspaces(session, settings, seen)
            if workspaces is not None:
                _heartbeat(session, "workspace", workspaces)
            _heartbeat(session, "kernel", things.kernels(session, settings))
            _heartbeat(session, "replica", things.replicas(session, settings))
            _settle(session, "run", list(things.runs(session, settings, since)))
            _settle(session, "build", list(things.builds(session, settings, since)))


def _heartbeat(session: Session, kind: str, running: Iterable[Thing]) -> None:
    """Note what runs, and close what does not, where it was last seen."""
    by_object = {thing.object: thing for thing in running}
    for thing in by_object.values():
        row = ledger.open_row(session, kind, thing.object)
        if row is not None and thing.since is not None and thing.since > row.seen_at:
            # It ended and began again while nobody looked.
            ledger.close(row, row.seen_at)
            session.flush()
            row = None
        if row is None:
            _begin(session, thing)
    ledger.seen(session, kind, by_object)
    now = database_now(session)
    for row in _open(session, kind):
        if row.object not in by_object and now - row.started_at > STARTING:
            ledger.close(row, row.seen_at)


def _settle(session: Session, kind: str, found: list[Thing]) -> None:
    """Write what has exact times: also what began and ended between two looks, and only once."""
    names = [thing.object for thing in found]
    known = set(
        session.scalars(
            select(UsageRow.object).where(UsageRow.kind == kind, UsageRow.object.in_(names))
        )
    )
    for thing in found:
        if thing.object not in known:
            _begin(session, thing)
    ledger.seen(session, kind, [thing.object for thing in found if thing.until is None])
    ended = {thing.object: thing.until for thing in found}
    now = database_now(session)
    for row in _open(session, kind):
        if row.object not in ended:
            if now - row.started_at > STARTING:
                ledger.close(row, row.seen_at)
        elif (until := ended[row.object]) is not None:
            ledger.close(row, until)


def _open(session: Session, kind: str) -> list[UsageRow]:
    session.flush()
    rows = select(UsageRow).where(UsageRow.kind == kind, UsageRow.ended_at.is_(None))
    return list(session.scalars(rows.execution_options(populate_existing=True)))


def _begin(session: Session, thing: Thing) -> None:
    ledger.begin(
        session,
        kind=thing.kind,
        object=thing.object,
        user=thing.user,
        group=thing.group,
        image=thing.image,
        digest=thing.digest,
        size=thing.size,
        settings_size=thing.settings_size,
        since=thing.since,
    )

"""Which workers serve a database, and whether this one still may.

A worker holds a lease by the database's clock. While it does, its runs are its own; once the
lease has expired, others may take them over, each by a new epoch, so that exactly one does and
the old one's late writes change nothing.

One of the workers leads: it does what is done once for the whole installation. It does so for as
long as its lease is held, and stops a heartbeat before another could take the lead.
"""

from __future__ import annotations

import logging
import secrets
import socket
import threading
import time
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from perijove_hub.context import Context
from perijove_hub.identity import keep_run_tokens
from perijove_hub.jobs.steady import Steady
from perijove_hub.paths import DataDir
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import WorkerRow
from perijove_hub.store.turns import take_turn

log = logging.getLogger(__name__)

#: Seconds between two renewals of a lease.
HEARTBEAT = 2.0
#: Seconds after the last renewal until others may take over.
EXPIRY = 10.0
#: How long a worker that never came back is remembered.
FORGOTTEN = timedelta(days=7)


class LeaseLost(Exception):
    """The lease ran out in the middle of a step; what was begun is looked at again."""


def identity(data: DataDir) -> str:
    """Return the id of a data directory's worker, the same at every start.

    A copy of the directory has another one: its worker must not take the first one's runs for
    its own.
    """
    path, inode = data.run / "worker.id", str(data.root.stat().st_ino)
    said = path.read_text(encoding="ascii").split() if path.exists() else []
    if len(said) == 2 and said[1] == inode:
        return said[0]
    found = secrets.token_hex(10)
    partial = path.with_suffix(".part")
    partial.write_text(f"{found} {inode}\n", encoding="ascii")
    partial.replace(path)
    return found


class Lease:
    """One worker's lease, renewed by whoever calls ``keep``, from any thread."""

    def __init__(self, context: Context, *, may_lead: bool = True) -> None:
        self._database = context.database
        self._may_lead = may_lead
        self._lock = threading.Lock()
        self._taken: datetime | None = None
        self._superseded = False
        self._clock = Steady()
        self._leads_since: datetime | None = None
        self._follows = False
        self._renew_at = self._since = self._until = 0.0
        self.worker = identity(context.data)
        self.term = 0
        """Counts how often it was taken: after a gap, others may have taken runs over."""

    @property
    def held(self) -> bool:
        """Whether it was renewed lately enough, as far as this process's own clock knows."""
        return time.monotonic() < self._until

    @property
    def settled(self) -> bool:
        """Whether it was held for as long as a lease lasts, without a gap.

        Only then are others judged by theirs: after the database was away, those who live have
        had the time to renew.
        """
        return self.held and time.monotonic() - self._since >= EXPIRY

    @property
    def lead(self) -> datetime | None:
        """Since when this worker leads, ``None`` when it does not: another one each time."""
        sure = time.monotonic() < self._until - HEARTBEAT
        return self._leads_since if sure else None

    @property
    def follows(self) -> bool:
        """Whether another worker leads, as far as was known at the last renewal."""
        return self.held and self._follows

    def may_judge(self, session: Session) -> bool:
        """Tell, in a transaction, whether others may be judged by their leases now.

        Not while the database's clock has been set since this one was renewed.
        """
        stepped = self._clock.stepped(database_now(session), most=_slack())
        return self.settled and not stepped

    def keep(self) -> bool:
        """Take the lease, or renew it where that is due; say whether it is held."""
        with self._lock:
            now = time.monotonic()
            if now < self._renew_at or self._superseded:
                return self.held
            with self._database.session() as session:
                row = self._renewed(session)
            if row is None:
                log.error("another process serves as worker %s: this one stops", self.worker)
                self._superseded, self._until = True, 0.0
                return False
            if self._taken is None or now >= self._until:
                self._since = now
                self.term += 1
            self._taken, self._leads_since = row.started_at, row.leads_since
            self._until, self._renew_at = now + EXPIRY, now + HEARTBEAT
            if self._leads_since is None:
                self._stand()
            return True

    def confirmed(self, session: Session) -> bool:
        """Tell by the database's clock, in a transaction, whether the lease is held."""
        row = session.get(WorkerRow, self.worker)
        return (
            row is not None
            and row.started_at == self._taken
            and row.expires_at > database_now(session)
        )

    def leading(self, session: Session, since: datetime) -> bool:
        """Tell by the database, at the end of a transaction, whether it still leads ``since``.

        Nobody else takes the lead until the transaction is over.
        """
        _hurry(session)
        row = session.get(
            WorkerRow, self.worker, with_for_update={"read": True}, populate_existing=True
        )
        return (
            row is not None
            and (row.started_at, row.leads_since) == (self._taken, since)
            and row.expires_at > database_now(session)
        )

    def _renewed(self, session: Session) -> WorkerRow | None:
        """Renew this process's lease and return it; ``None`` where another has it since."""
        _hurry(session)
        row = session.get(WorkerRow, self.worker, with_for_update=True)
        now = database_now(session)
        if by := self._clock.stepped(now, most=_slack()):
            log.warning("the database's clock was set by %+.0f s", by)
            # The others renew by it first, and are judged then.
            self._since = time.monotonic()
            keep_run_tokens(session, worker=self.worker, seconds=by)
        self._clock.keep(now)
        if row is None:
            row = WorkerRow(id=self.worker, started_at=now)
            session.add(row)
        elif self._taken is None:
            # Never the same twice, however coarse the clock: by it one start is told from another.
            row.started_at = max(now, row.started_at + timedelta(microseconds=1))
        elif row.started_at != self._taken:
            return None
        if not self._may_lead:
            row.leads_since = None
        row.host, row.expires_at = socket.gethostname()[:255], now + timedelta(seconds=EXPIRY)
        session.execute(delete(WorkerRow).where(WorkerRow.expires_at < now - FORGOTTEN))
        return row

    def _stand(self) -> None:
        """Take the lead where nobody has it, or whoever had it is gone.

        Who leads is judged as others are: only by a worker that has held its own lease for as
        long as one lasts.
        """
        # Not in the transaction that renews: that one holds this worker's row already.
        with self._database.session() as session:
            _hurry(session)
            take_turn(session, "lead")
            # Looked at without a lock: whoever is stopped here would keep it from renewing.
            leading = select(WorkerRow).where(WorkerRow.leads_since.is_not(None))
            leader = session.scalars(leading).first()
            now = database_now(session)
            self._follows = leader is not None and _lives(leader.expires_at, now)
            if not self._may_lead or self._follows:
                return
            if leader is not None:
                if not self.may_judge(session):
                    return
                session.refresh(leader, with_for_update=True)
                now = database_now(session)
                if _lives(leader.expires_at, now):
                    self._follows = leader.leads_since is not None
                    return
                log.info("worker %s is gone: this one leads now", leader.id)
                leader.leads_since = None
            session.get_one(WorkerRow, self.worker, with_for_update=True).leads_since = now
        self._leads_since = now


def alive(session: Session) -> set[str]:
    """Return the workers whose lease has not expired."""
    now = database_now(session)
    rows = session.execute(select(WorkerRow.id, WorkerRow.expires_at)).all()
    return {id_ for id_, expires in rows if _lives(expires, now)}


def _hurry(session: Session) -> None:
    """Let the server end the transaction of a process that is stopped while it holds a lease.

    Else nobody could take over from it.
    """
    if session.get_bind().dialect.name == "postgresql":
        most = f"{EXPIRY * 1000:.0f}ms"
        session.execute(select(func.set_config("idle_in_transaction_session_timeout", most, True)))


def _lives(expires: datetime, now: datetime) -> bool:
    # What lasts longer than any lease was renewed before the clock was set back.
    return now < expires <= now + timedelta(seconds=EXPIRY + _slack())


def _slack() -> float:
    """Return how much a clock may differ, in seconds: less than would make a lease look over."""
    return EXPIRY / 4


class LeaseDuty:
    """Renews the lease in a thread of its own, so that a step that takes long does not lose it."""

    name = "lease"
    period = HEARTBEAT / 2

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._failing = False

    def tick(self) -> None:
        """Renew, and come back as soon after a failure: a longer pause would lose the lease."""
        try:
            self._lease.keep()
            self._failing = False
        except SQLAlchemyError as error:
            if not self._failing:
                log.warning("the worker's lease cannot be renewed now: %s", error)
            self._failing = True

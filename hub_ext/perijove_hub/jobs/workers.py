"""Which workers serve a database, and whether this one still may.

A worker holds a lease by the database's clock. While it does, its runs are its own; once the
lease has expired, others may take them over, each by a new epoch, so that exactly one does and
the old one's late writes change nothing.
"""

from __future__ import annotations

import logging
import secrets
import socket
import threading
import time
from datetime import datetime, timedelta

from sqlalchemy import CursorResult, delete, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from perijove_hub.context import Context
from perijove_hub.paths import DataDir
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import WorkerRow

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

    def __init__(self, context: Context) -> None:
        self._database = context.database
        self._lock = threading.Lock()
        self._taken: datetime | None = None
        self._superseded = False
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

    def keep(self) -> bool:
        """Take the lease, or renew it where that is due; say whether it is held."""
        with self._lock:
            now = time.monotonic()
            if now < self._renew_at or self._superseded:
                return self.held
            with self._database.session() as session:
                taken = self._renewed(session)
            if taken is None:
                log.error("another process serves as worker %s: this one stops", self.worker)
                self._superseded, self._until = True, 0.0
                return False
            if self._taken is None or now >= self._until:
                self._since = now
                self.term += 1
            self._taken, self._until, self._renew_at = taken, now + EXPIRY, now + HEARTBEAT
            return True

    def confirmed(self, session: Session) -> bool:
        """Tell by the database's clock, in a transaction, whether the lease is held."""
        row = session.get(WorkerRow, self.worker)
        return (
            row is not None
            and row.started_at == self._taken
            and row.expires_at > database_now(session)
        )

    def _renewed(self, session: Session) -> datetime | None:
        """Return when this process took the lease; ``None`` where another has it since."""
        now = database_now(session)
        expires = now + timedelta(seconds=EXPIRY)
        if self._taken is not None:
            mine = (WorkerRow.id == self.worker, WorkerRow.started_at == self._taken)
            result = session.execute(update(WorkerRow).where(*mine).values(expires_at=expires))
            assert isinstance(result, CursorResult)  # noqa: S101 - for the type checker
            if result.rowcount == 1:
                return self._taken
        row = session.get(WorkerRow, self.worker)
        if row is None:
            row = WorkerRow(id=self.worker, started_at=now)
            session.add(row)
        elif self._taken is not None:
            return None
        else:
            # Never the same twice, however coarse the clock: by it one start is told from another.
            row.started_at = max(now, row.started_at + timedelta(microseconds=1))
        row.host, row.expires_at = socket.gethostname()[:255], expires
        session.execute(delete(WorkerRow).where(WorkerRow.expires_at < now - FORGOTTEN))
        return row.started_at


def alive(session: Session) -> set[str]:
    """Return the workers whose lease has not expired."""
    now = database_now(session)
    return set(session.scalars(select(WorkerRow.id).where(WorkerRow.expires_at > now)))


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

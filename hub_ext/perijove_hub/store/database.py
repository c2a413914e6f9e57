"""Connections: SQLite in WAL mode, or PostgreSQL by URL."""

from __future__ import annotations

import copy
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.orm import Session, sessionmaker

#: Longest silence in the middle of a transaction on PostgreSQL, seconds.
IDLE_S = 60


def make_engine(url: str) -> Engine:
    """Connect lazily to ``url``; several processes may share one SQLite file."""
    if url.startswith("sqlite"):
        engine = create_engine(url, connect_args={"timeout": 30})
        event.listen(engine, "connect", _tune_sqlite)
        event.listen(engine, "begin", _begin)
        return engine
    engine = create_engine(url, pool_pre_ping=True, pool_size=5, max_overflow=15)
    event.listen(engine, "connect", _tune_postgresql)
    return engine


def _tune_postgresql(connection: Any, _: Any) -> None:
    # A process that is stopped, or cut off, in the middle of a transaction keeps its locks until
    # the server ends that: else nobody could ever take over what it did.
    # Without a transaction of its own: each new connection would wait for its end.
    connection.autocommit = True
    connection.execute(f"SET idle_in_transaction_session_timeout = '{IDLE_S}s'")
    connection.autocommit = False


def _tune_sqlite(connection: sqlite3.Connection, _: Any) -> None:
    # Autocommit, so that _begin and not the driver opens transactions.
    connection.isolation_level = None
    for pragma in (
        "journal_mode=WAL",
        # NORMAL would lose the last acknowledged writes in a power cut.
        "synchronous=FULL",
        "foreign_keys=ON",
        "busy_timeout=30000",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    # A deferred transaction that reads first and writes later fails with SQLITE_BUSY at
    # once, whatever the timeout, when another process wrote in between; so writers take
    # their turn from the start. Readers never wait for them.
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


class Database:
    """Sessions on one engine."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = make_engine(url)
        self._writing = sessionmaker(self.engine, expire_on_commit=False)
        self._reading = sessionmaker(
            self.engine.execution_options(reading=True), expire_on_commit=False
        )
        self._check: Callable[[Session], None] | None = None

    def guarded(self, check: Callable[[Session], None]) -> Database:
        """Return the same database for whoever may write only while ``check`` does not raise.

        It is called last in each transaction that may write, which is rolled back if it raises.
        """
        found = copy.copy(self)
        found._check = check
        return found

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Open a transaction: committed at the end of the block, rolled back if it raises."""
        with self._writing.begin() as session:
            yield session
            if self._check is not None:
                session.flush()
                self._check(session)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a transaction for reading only; it waits for no writer."""
        with self._reading() as session:
            yield session

    def close(self) -> None:
        """Close pooled connections."""
        self.engine.dispose()

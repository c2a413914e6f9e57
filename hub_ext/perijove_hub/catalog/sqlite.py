"""SQLite files, opened so that the engine itself refuses to write or to look elsewhere."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, NullPool, create_engine

from perijove_hub.catalog.connector import Crawl, refused, too_slow
from perijove_hub.catalog.inspection import inspect_database
from perijove_hub.catalog.rows import Rows, gather
from perijove_hub.catalog.statement import Statement
from perijove_hub.exceptions import Invalid, Unavailable

#: Virtual machine instructions between two looks at the clock.
_STEPS = 10_000
#: Longest text or blob SQLite may build, in bytes: it cannot be interrupted meanwhile.
_LONGEST_VALUE = 64 * 2**20

_ALLOWED = frozenset(
    {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
)
_FORBIDDEN_FUNCTIONS = frozenset({"load_extension", "fts3_tokenizer"})


class SqliteConnector:
    """One SQLite file."""

    kind = "sqlite"

    def __init__(self, url: URL) -> None:
        database = url.database or ""
        if database in ("", ":memory:") or database.startswith("file:"):
            raise Unavailable("It names no file.", fix="Write its URL as sqlite:////ABSOLUTE/PATH.")
        self._path = Path(database).expanduser()

    def crawl(self) -> Crawl:
        """List its tables and views."""
        engine = create_engine("sqlite://", creator=self._open, poolclass=NullPool)
        return inspect_database(engine, count=self._count)

    def run(self, statement: Statement, *, limit: int, timeout_s: float) -> Rows:
        """Run a statement; SQLite's own authorizer allows nothing but reading."""
        with self._guarded(timeout_s) as connection:
            cursor = connection.execute(statement.sql, statement.parameters)
            if cursor.description is None:
                raise refused("The statement returns no rows.")
            return gather([column[0] for column in cursor.description], cursor, limit)

    def identifier(self, schema: str, table: str) -> str:
        """Quote a table's name; there is only the schema ``main``."""
        return '"{}"'.format(table.replace('"', '""'))

    @contextmanager
    def _guarded(self, timeout_s: float) -> Iterator[sqlite3.Connection]:
        try:
            connection = self._open()
        except sqlite3.Error as error:
            raise Unavailable("Its file cannot be opened.", fix="Does it exist?") from error
        deadline = time.monotonic() + timeout_s
        with closing(connection):
            connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
            connection.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000)
            connection.set_authorizer(_authorize)
            try:
                yield connection
            except (sqlite3.Error, sqlite3.Warning, OverflowError) as error:
                raise _explain(error, timeout_s) from None

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"file:{quote(str(self._path.absolute()))}?mode=ro",
            uri=True,
            check_same_thread=False,
            isolation_level=None,
            timeout=5,
        )
        # Text that is not UTF-8 is data too.
        connection.text_factory = lambda raw: raw.decode("utf-8", errors="replace")
        connection.execute("PRAGMA query_only=ON")
        connection.execute("PRAGMA trusted_schema=OFF")
        return connection

    def _count(self, schema: str, table: str, seconds: float) -> int | None:
        sql = f"select count(*) from {self.identifier(schema, table)}"  # noqa: S608 - quoted
        try:
            with self._guarded(seconds) as connection:
                return int(connection.execute(sql).fetchone()[0])
        except Invalid:
            return None


def _authorize(action: int, first: str | None, second: str | None, *_: Any) -> int:
    """Allow reading and calling functions; deny attaching, pragmas and every change."""
    if action not in _ALLOWED:
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _FORBIDDEN_FUNCTIONS:
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


def _explain(error: Exception, timeout_s: float) -> Invalid:
    message = str(error)
    if message == "interrupted":
        return too_slow(timeout_s)
    if message.startswith(("not authorized", "authorization denied")):
        return refused("Only statements that read are allowed here.")
    return refused(message)

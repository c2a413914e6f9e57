"""Database servers: PostgreSQL with its own guards, any other by SQLAlchemy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from perijove_hub.catalog.connector import Crawl, refused, stopping, too_slow
from perijove_hub.catalog.inspection import inspect_database
from perijove_hub.catalog.rows import Rows, gather
from perijove_hub.catalog.statement import Statement
from perijove_hub.exceptions import ProblemError, Unavailable

if TYPE_CHECKING:
    import psycopg

#: Seconds to wait for a server to take a connection.
CONNECT_S = 10

_READS = re.compile(
    r"(?:\s|\(|--[^\n]*\n|/\*.*?\*/)*(?:select|with|values|table|show|describe|explain)\b",
    re.IGNORECASE | re.DOTALL,
)


class ServerConnector:
    """A server whose dialect has no guards of its own here.

    What starts a statement decides whether it may run; then a transaction, read-only where the
    server knows that, which is always rolled back.
    """

    def __init__(self, url: URL) -> None:
        self.kind = url.get_backend_name()
        self._engine = create_engine(url, poolclass=NullPool)

    def crawl(self) -> Crawl:
        """List its tables and views."""
        return inspect_database(self._engine, count=self._count)

    def run(self, statement: Statement, *, limit: int, timeout_s: float) -> Rows:
        """Run a statement in a transaction that is rolled back."""
        if not _READS.match(statement.sql):
            raise refused("Only statements that read are allowed here.")
        # In text() a colon that is no placeholder must say so.
        sql = statement.written(lambda name: f":{name}", literal=lambda s: s.replace(":", r"\:"))
        with self._transaction(timeout_s) as connection:
            result = connection.execute(text(sql), statement.parameters)
            if not result.returns_rows:
                raise refused("The statement returns no rows.")
            return gather(list(result.keys()), result, limit)

    def identifier(self, schema: str, table: str) -> str:
        """Quote a table's name with its schema."""
        quote = self._engine.dialect.identifier_preparer.quote_identifier
        return f"{quote(schema)}.{quote(table)}"

    @contextmanager
    def _transaction(self, timeout_s: float) -> Iterator[Connection]:
        try:
            connection = self._engine.connect()
        except SQLAlchemyError as error:
            raise Unavailable("Its database does not answer.", fix="Try again later.") from error
        with connection:
            raw: Any = connection.connection.driver_connection
            if self.kind in ("mysql", "mariadb", "oracle"):
                connection.exec_driver_sql("SET TRANSACTION READ ONLY")
            with stopping(timeout_s, raw.close) as late:
                try:
                    yield connection.execution_options(stream_results=True)
                except DBAPIError as error:
                    raise (
                        too_slow(timeout_s) if late.is_set() else refused(str(error.orig))
                    ) from None
                except SQLAlchemyError as error:
                    raise refused(str(error)) from None
            if not late.is_set():
                connection.rollback()

    def _count(self, schema: str, table: str, seconds: float) -> int | None:
        sql = f"select count(*) from {self.identifier(schema, table)}"  # noqa: S608 - quoted
        try:
            rows = self.run(Statement(sql, {}), limit=1, timeout_s=seconds)
        except ProblemError:
            return None
        return int(rows.table.column(0)[0].as_py())


class PostgresConnector(ServerConnector):
    """A PostgreSQL server, read in a read-only transaction with a statement timeout."""

    def __init__(self, url: URL) -> None:
        self.kind = "postgresql"
        # Rows must stream and statements must not be chained; psycopg 3 gives both.
        self._engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            poolclass=NullPool,
            connect_args={"connect_timeout": CONNECT_S, "tcp_user_timeout": 30_000},
        )

    def run(self, statement: Statement, *, limit: int, timeout_s: float) -> Rows:
        """Run a statement; the server itself refuses a second one and any change."""
        import psycopg

        sql = statement.written(
            lambda name: f"%({name})s", literal=lambda part: part.replace("%", "%%")
        )
        with self._read_only(timeout_s) as connection:
            cursor = connection.cursor()
            # stream() speaks the extended protocol, in which a message holds one statement.
            rows: Any = cursor.stream(sql, statement.parameters)
            try:
                # Closing it early cancels what the server still does.
                with closing(rows):
                    first = next(rows, None)
                    names = [column.name for column in cursor.description or ()]
                    return gather(names, _chain(first, rows), limit)
            except psycopg.errors.QueryCanceled:
                raise too_slow(timeout_s) from None
            except psycopg.errors.ReadOnlySqlTransaction:
                raise refused("Only statements that read are allowed here.") from None
            except psycopg.Error as error:
                raise refused(str(error)) from None

    def identifier(self, schema: str, table: str) -> str:
        """Quote a table's name; ``public`` need not be said."""
        full = super().identifier(schema, table)
        return full.removeprefix('"public".') if schema == "public" else full

    @contextmanager
    def _read_only(self, timeout_s: float) -> Iterator[psycopg.Connection[Any]]:
        try:
            pooled = self._engine.raw_connection()
        except SQLAlchemyError as error:
            raise Unavailable("Its database does not answer.", fix="Try again later.") from error
        connection: Any = pooled.driver_connection
        try:
            connection.rollback()
            connection.read_only = True
            # A query in the transaction also ends the time in which it could be made writable.
            connection.execute(
                "select set_config('statement_timeout', %s, true)",
                [str(max(1, round(timeout_s * 1000)))],
            )
            yield connection
        finally:
            connection.close()
            pooled.invalidate()


def _chain(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    if first is not None:
        yield first
        yield from rest

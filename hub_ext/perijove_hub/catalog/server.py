"""Database servers: PostgreSQL with its own guards, any other by SQLAlchemy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from perijove import placeholders
from perijove_hub.catalog.connector import Crawl, refused, stopping, too_slow
from perijove_hub.catalog.inspection import inspect_database
from perijove_hub.catalog.rows import Rows, gather
from perijove_hub.catalog.statement import Statement
from perijove_hub.exceptions import ProblemError, Unavailable

if TYPE_CHECKING:
    import psycopg

#: Seconds to wait for a server to take a connection.
CONNECT_S = 10

#: Rows fetched from a cursor at a time.
_ROWS = 5000

#: What PostgreSQL counts for each table; views and parents of partitions have no count.
_WRITES = text(
    "select s.schemaname, s.relname, s.n_tup_ins + s.n_tup_upd + s.n_tup_del"
    " from pg_stat_user_tables s join pg_class c on c.oid = s.relid"
    " where c.relkind = 'r' and not pg_is_in_recovery()"
)
_FIRST_WORD = re.compile(r"(?:\s|\(|--[^\n]*\n|/\*.*?\*/)*(\w*)", re.DOTALL)
_SELECTS = frozenset({"select", "with", "values", "table"})
_READS = _SELECTS | {"show", "describe", "explain"}
#: Words by which something that begins as a question changes something after all.
_CHANGES = re.compile(
    r"\b(insert|update|delete|merge|into|create|alter|drop|truncate|grant|call|exec|execute)\b",
    re.IGNORECASE,
)


class ServerConnector:
    """A server whose dialect has no guards of its own here.

    Words decide whether a statement may run; then a transaction, read-only where the server
    knows that, which is always rolled back. Some drivers commit by themselves, so give such a
    source a user who can only read.
    """

    def __init__(self, url: URL) -> None:
        self.kind = url.get_backend_name()
        self._engine = create_engine(url, poolclass=NullPool)

    def crawl(self) -> Crawl:
        """List its tables and views."""
        return inspect_database(self._engine, count=self._count)

    def run(self, statement: Statement, *, limit: int, timeout_s: float) -> Rows:
        """Run a statement in a transaction that is rolled back."""
        _require(statement, _READS)
        if change := _CHANGES.search(placeholders.bare(statement.sql)):
            raise refused(f"Only statements that read are allowed here, not '{change[1]}'.")
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
    """A PostgreSQL server, read through a cursor in a read-only transaction."""

    def __init__(self, url: URL) -> None:
        self.kind = "postgresql"
        # psycopg 3, because its cursors send one statement in a message and stream rows.
        self._engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            poolclass=NullPool,
            connect_args={"connect_timeout": CONNECT_S, "tcp_user_timeout": 30_000},
        )

    def crawl(self) -> Crawl:
        """List its tables and views, and what the server counts of writing to them."""
        # Before the rows are counted: a write in between is seen again by the next crawl.
        writes = self._writes()
        crawl = super().crawl()
        found = [replace(one, writes=writes.get((one.schema, one.table))) for one in crawl.found]
        return replace(crawl, found=found)

    def run(self, statement: Statement, *, limit: int, timeout_s: float) -> Rows:
        """Run a SELECT; the server itself refuses a second statement and any change."""
        import psycopg

        _require(statement, _SELECTS)
        sql = statement.written(
            lambda name: f"%({name})s", literal=lambda part: part.replace("%", "%%")
        )
        with (
            self._read_only(timeout_s) as connection,
            # The server's own timeout counts each FETCH; this one counts them all.
            stopping(timeout_s, connection.cancel) as late,
        ):
            try:
                # Only a SELECT can be a cursor's: even COPY, which writes files and starts
                # programs in a read-only transaction, is refused by the server's grammar.
                with connection.cursor(name="perijove") as cursor:
                    cursor.itersize = _ROWS
                    cursor.execute(sql, statement.parameters)
                    names = [column.name for column in cursor.description or ()]
                    result = gather(names, cursor, limit)
            except psycopg.errors.QueryCanceled:
                raise too_slow(timeout_s) from None
            except psycopg.Error as error:
                # Without the line that shows our DECLARE in front of the statement.
                told = [error.diag.message_primary, error.diag.message_hint]
                raise refused(". ".join(filter(None, told)) or str(error)) from None
        if late.is_set():
            raise too_slow(timeout_s)
        return result

    def identifier(self, schema: str, table: str) -> str:
        """Quote a table's name; ``public`` need not be said."""
        full = super().identifier(schema, table)
        return full.removeprefix('"public".') if schema == "public" else full

    def _writes(self) -> dict[tuple[str, str], int]:
        """Count what was written, by schema and table; nothing where the server does not say."""
        try:
            with self._engine.connect() as connection:
                found = connection.execute(_WRITES).all()
        except DBAPIError:
            # Others speak PostgreSQL's protocol without its statistics.
            return {}
        return {(schema, table): int(number) for schema, table, number in found}

    @contextmanager
    def _read_only(self, timeout_s: float) -> Iterator[psycopg.Connection[Any]]:
        import psycopg

        try:
            pooled = self._engine.raw_connection()
        except (psycopg.Error, SQLAlchemyError) as error:
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


def _require(statement: Statement, allowed: frozenset[str]) -> None:
    """Refuse by its first word what is surely no question; the server refuses the rest."""
    found = _FIRST_WORD.match(statement.sql)
    word = found[1] if found else ""
    if word.lower() not in allowed:
        raise refused(f"Only a SELECT is allowed here, not '{word}'.")

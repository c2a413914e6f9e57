"""A folder of Parquet and CSV files, read by DuckDB behind locked doors."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path

import duckdb
import pyarrow as pa

from perijove.types.catalog import Column
from perijove_hub.catalog.connector import (
    COUNT_SOURCE_S,
    COUNT_TABLE_S,
    Crawl,
    Found,
    refused,
    stopping,
    too_slow,
)
from perijove_hub.catalog.rows import MOST_BYTES, Rows
from perijove_hub.catalog.statement import Statement
from perijove_hub.exceptions import Unavailable

#: How DuckDB reads each kind of file.
_READERS = {
    ".parquet": "read_parquet",
    ".csv": "read_csv",
    ".tsv": "read_csv",
    ".csv.gz": "read_csv",
    ".tsv.gz": "read_csv",
}
#: Schema of files directly in the folder.
ROOT = "main"
#: Schemas DuckDB keeps for itself.
_SYSTEM = frozenset({"information_schema", "pg_catalog", "system", "temp"})
_BATCH = 10_000
_PART = re.compile(r'"((?:[^"]|"")*)"|([^".]+)')


@dataclass(frozen=True)
class DataFile:
    """A file and the name its table has."""

    schema: str
    table: str
    path: Path
    reader: str

    @property
    def key(self) -> tuple[str, str]:
        """The name as DuckDB compares it: without regard to case."""
        return self.schema.lower(), self.table.lower()

    @property
    def scan(self) -> str:
        """The expression that reads the file."""
        return f"{self.reader}({_literal(self.pattern)})"

    @property
    def pattern(self) -> str:
        """The path as DuckDB must be told it, which takes ``*``, ``?`` and ``[`` for wildcards."""
        return re.sub(r"([*?\[])", r"[\1]", str(self.path))


class FilesConnector:
    """One folder."""

    kind = "files"

    def __init__(self, path: str) -> None:
        self._root = Path(path).expanduser().absolute()

    def crawl(self) -> Crawl:
        """Describe every file; one that cannot be read is left out and named."""
        found: list[Found] = []
        left_out: list[str] = []
        deadline = time.monotonic() + COUNT_SOURCE_S
        for file in self._files():
            with _sandbox([file]) as connection:
                try:
                    found.append(_describe(connection, file, deadline))
                except duckdb.Error as error:
                    name = file.path.relative_to(self._root)
                    left_out.append(f"{name}: {_first_line(error)}")
        return Crawl(found, left_out)

    def run(self, statement: Statement, *, limit: int, timeout_s: float) -> Rows:
        """Run a SELECT over the files it names, with no other file in reach."""
        files = self._files()
        wanted = _referenced(statement)
        used = [file for file in files if file.key in wanted]
        with _sandbox(used) as connection, stopping(timeout_s, connection.interrupt) as late:
            try:
                for file in used:
                    _make_view(connection, file)
                return _fetch(connection, statement, limit)
            # What fails while rows stream comes through Arrow, as an OSError.
            except (duckdb.Error, pa.ArrowException, OSError) as error:
                if late.is_set():
                    raise too_slow(timeout_s) from None
                raise refused(_advise(error, files)) from None

    def identifier(self, schema: str, table: str) -> str:
        """Quote a table's name; the schema of the folder itself need not be said."""
        name = _quoted(table)
        return name if schema == ROOT else f"{_quoted(schema)}.{name}"

    def _files(self) -> list[DataFile]:
        """List the files with unambiguous names; links that lead out are passed over."""
        if not self._root.is_dir():
            raise Unavailable("Its folder does not exist.", fix="Mend 'path' in the settings.")
        real = self._root.resolve()
        named: dict[tuple[str, str], DataFile] = {}
        for folder, folders, names in os.walk(self._root, followlinks=False):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            inside = Path(folder).relative_to(self._root).as_posix()
            for file in _in_folder(Path(folder), sorted(names), _schema(inside)):
                if file.path.resolve().is_relative_to(real) and file.path.is_file():
                    named.setdefault(file.key, file)
        return list(named.values())


def _schema(inside: str) -> str:
    """Name the schema of a folder by its path, apart from the names DuckDB or we use."""
    if inside == ".":
        return ROOT
    return f"./{inside}" if inside.lower() in _SYSTEM | {ROOT} else inside


def _in_folder(folder: Path, names: Iterable[str], schema: str) -> Iterator[DataFile]:
    """Name a folder's tables after their files; two that would be alike keep their suffix."""
    split = [(name, suffix) for name in names if (suffix := _suffix(name))]
    stems = [name.removesuffix(suffix).lower() for name, suffix in split]
    for name, suffix in split:
        stem = name[: -len(suffix)]
        alike = stems.count(name.removesuffix(suffix).lower()) > 1
        yield DataFile(schema, name if alike else stem, folder / name, _READERS[suffix.lower()])


def _suffix(name: str) -> str:
    lower = name.lower()
    fitting = [s for s in _READERS if lower.endswith(s) and len(lower) > len(s)]
    return name[-len(max(fitting, key=len)) :] if fitting and not name.startswith(".") else ""


@contextmanager
def _sandbox(files: Iterable[DataFile]) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open DuckDB in memory with a view per file, then lock everything else away.

    Paths are allowed one by one, not by folder: a folder may hold a link that leads out of it.
    """
    chosen = list(files)
    connection = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": "1GB",
            "threads": "2",
            "temp_directory": "",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            # Otherwise a table's name that is unknown is looked up among Python's variables.
            "python_enable_replacements": "false",
        },
    )
    try:
        paths = ", ".join(_literal(p) for file in chosen for p in (str(file.path), file.pattern))
        connection.execute(f"SET allowed_paths=[{paths}]")
        connection.execute("SET enable_external_access=false")
        connection.execute("SET lock_configuration=true")
        yield connection
    finally:
        connection.close()


def _make_view(connection: duckdb.DuckDBPyConnection, file: DataFile) -> None:
    connection.execute(f"create schema if not exists {_quoted(file.schema)}")
    name = f"{_quoted(file.schema)}.{_quoted(file.table)}"
    connection.execute(f"create view {name} as select * from {file.scan}")  # noqa: S608 - quoted


def _describe(connection: duckdb.DuckDBPyConnection, file: DataFile, deadline: float) -> Found:
    described = connection.execute(f"describe select * from {file.scan}").fetchall()  # noqa: S608
    return Found(
        schema=file.schema,
        table=file.table,
        kind="file",
        columns=[
            Column(name=name, type=kind.lower(), nullable=nullable == "YES")
            for name, kind, nullable, *_ in described
        ],
        row_count=_count(connection, file, min(COUNT_TABLE_S, deadline - time.monotonic())),
        modified=_modified(file.path),
    )


def _modified(path: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError:
        # It was removed while it was looked at.
        return None


def _count(connection: duckdb.DuckDBPyConnection, file: DataFile, seconds: float) -> int | None:
    if seconds <= 0:
        return None
    with stopping(seconds, connection.interrupt):
        try:
            counted = connection.execute(f"select count(*) from {file.scan}").fetchone()  # noqa: S608
        except duckdb.InterruptException:
            return None
    return int(counted[0]) if counted else None


def _referenced(statement: Statement) -> set[tuple[str, str]]:
    """Name the tables a statement reads, as ``DataFile.key`` does."""
    # The parser wants no parameters here; what they are does not change the tables.
    sql = statement.written(lambda _: "NULL")
    # Even parsing happens behind locked doors: for EXPORT DATABASE it makes a folder.
    with _sandbox([]) as connection:
        try:
            named = connection.get_table_names(sql, qualified=True)
        except duckdb.Error as error:
            raise refused(_words(error)) from None
    keys = set()
    for name in named:
        parts = [quoted.replace('""', '"') or bare for quoted, bare in _PART.findall(name)]
        keys.add((parts[-2].lower() if len(parts) > 1 else ROOT, parts[-1].lower()))
    return keys


def _fetch(connection: duckdb.DuckDBPyConnection, statement: Statement, limit: int) -> Rows:
    sql = statement.written(lambda name: f"${name}")
    kinds = [found.type for found in connection.extract_statements(sql)]
    if kinds != [duckdb.StatementType.SELECT]:
        raise refused("Only a SELECT is allowed here.")
    relation = connection.sql(sql, params=statement.parameters or None)
    with relation.to_arrow_reader(_BATCH) as reader:
        schema, batches, rows, size = reader.schema, [], 0, 0
        for batch in reader:
            batches.append(batch)
            rows, size = rows + batch.num_rows, size + batch.nbytes
            if rows > limit or size > MOST_BYTES:
                break
    table = pa.Table.from_batches(batches, schema)
    truncated = rows > limit or size > MOST_BYTES
    return Rows(_narrow(table.slice(0, limit)), truncated)


def _narrow(table: pa.Table) -> pa.Table:
    """Make 64-bit integers of DuckDB's 128-bit ones, which sums return, where they fit."""
    for at, field in enumerate(table.schema):
        if field.type == pa.decimal128(38, 0):
            try:
                column = table.column(at).cast(pa.int64())
            except pa.ArrowInvalid:
                continue
            table = table.set_column(at, field.name, column)
    return table


def _advise(error: Exception, files: list[DataFile]) -> str:
    """Give DuckDB's message; for an unknown table name the nearest there is."""
    message = _words(error)
    if unknown := re.search(r"Table with name (.+?) does not exist", message):
        tables = [file.table for file in files]
        near = get_close_matches(unknown[1], tables, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        return f"There is no table '{unknown[1]}' here.{hint}"
    if isinstance(error, duckdb.PermissionException):
        return "Only this source's own tables can be read here."
    return message


def _words(error: Exception) -> str:
    """Take the class's name off DuckDB's message."""
    return re.sub(r"^\w[\w ]* Error: ", "", str(error))


def _first_line(error: Exception) -> str:
    return _words(error).split("\n", 1)[0][:200]


def _literal(text: str) -> str:
    return "'{}'".format(text.replace("'", "''"))


def _quoted(name: str) -> str:
    return '"{}"'.format(name.replace('"', '""'))

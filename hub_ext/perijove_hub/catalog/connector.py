"""What the catalog asks of every kind of source: to be looked at, and to be read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from urllib.parse import quote, quote_plus

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from perijove.types.catalog import Column
from perijove_hub.catalog.rows import Rows
from perijove_hub.catalog.statement import Statement
from perijove_hub.exceptions import Invalid, Unavailable
from perijove_hub.settings import SourceSettings

#: Seconds one table, and one whole source, may take to be counted.
COUNT_TABLE_S = 5.0
COUNT_SOURCE_S = 30.0


@dataclass(frozen=True)
class Found:
    """A table, view or file that a crawl came across."""

    schema: str
    table: str
    kind: str
    columns: list[Column]
    comment: str = ""
    row_count: int | None = None
    """``None`` when counting took too long."""
    modified: datetime | None = None
    """When it was last written, where the source says so."""
    writes: int | None = None
    """How many rows were ever added, changed or deleted, where the source counts that."""


@dataclass(frozen=True)
class Crawl:
    """Everything a source holds, and what had to be left out and why."""

    found: list[Found]
    left_out: list[str] = field(default_factory=list)


class Connector(Protocol):
    """A source that can be looked at and read, never written."""

    kind: str

    def crawl(self) -> Crawl:
        """Look at every table; any exception means that the source could not be read."""

    def run(self, statement: Statement, *, limit: int, timeout_s: float) -> Rows:
        """Run one statement and return at most ``limit`` rows.

        Raises ``Invalid`` with the database's own words, or ``Unavailable``.
        """

    def identifier(self, schema: str, table: str) -> str:
        """Quote a table's name as this source's SQL wants it."""


def kind_of(settings: SourceSettings) -> str:
    """Name a source's kind without opening it: ``files`` or the database's name."""
    if settings.url is None:
        return "files"
    try:
        return make_url(settings.url).get_backend_name()
    except ArgumentError:
        return "unknown"


def connect(settings: SourceSettings) -> Connector:
    """Make the connector of a source; nothing is opened yet. Raises ``Unavailable``."""
    from perijove_hub.catalog.files import FilesConnector
    from perijove_hub.catalog.server import PostgresConnector, ServerConnector
    from perijove_hub.catalog.sqlite import SqliteConnector

    if settings.url is None:
        return FilesConnector(settings.path or "")
    url = _parse(settings.url)
    kinds: dict[str, type[SqliteConnector] | type[PostgresConnector]] = {
        "sqlite": SqliteConnector,
        "postgresql": PostgresConnector,
    }
    return kinds.get(url.get_backend_name(), ServerConnector)(url)


def _parse(url: str) -> URL:
    """Read an SQLAlchemy URL; the error does not repeat it, for it may hold a password."""
    try:
        return make_url(url)
    except ArgumentError:
        raise Unavailable(
            "Its URL is not an SQLAlchemy URL.",
            fix="Write it as postgresql://USER:PASSWORD@HOST/DATABASE or sqlite:////PATH.",
        ) from None


def scrub(text: str, settings: SourceSettings) -> str:
    """Take a source's URL, password and folder out of a message meant for people."""
    secrets = [settings.path, settings.url]
    try:
        url = make_url(settings.url or "")
    except ArgumentError:
        url = None
    if url is not None and url.password:
        secrets += [url.password, quote(url.password, safe=""), quote_plus(url.password)]
    if url is not None and url.get_backend_name() == "sqlite":
        secrets.append(url.database)
    # Shorter ones are part of any sentence; taking them out would show where they were.
    for secret in sorted((s for s in secrets if s and len(s) > 3), key=len, reverse=True):
        text = text.replace(secret, "…")
    return text


def refused(message: str) -> Invalid:
    """Make the error for a statement the database would not run, in the database's words."""
    return Invalid(message.strip() or "The database refused the statement.", field="sql")


def too_slow(timeout_s: float) -> Invalid:
    """Make the error for a statement that was stopped."""
    return Invalid(
        f"The query was stopped after {timeout_s:g} s.",
        field="sql",
        fix="Ask for less: add a condition or a limit.",
    )


@contextmanager
def stopping(after_s: float, stop: Callable[[], object]) -> Iterator[threading.Event]:
    """Call ``stop`` when the block takes longer than ``after_s``; the event tells if it did."""
    late = threading.Event()

    def fire() -> None:
        late.set()
        stop()

    timer = threading.Timer(after_s, fire)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()

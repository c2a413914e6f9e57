"""Catalog: source → schema → table → column."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import Field

from perijove.types.base import Name, Wire


class CrawlState(StrEnum):
    """How far the catalog's last look at a source got."""

    pending = "pending"
    ready = "ready"
    failed = "failed"


class Source(Wire):
    """A place data lives: a database or a folder of files. Never carries its credentials."""

    name: Name
    kind: str
    """``sqlite``, ``postgresql``, … or ``files``."""
    description: str = ""
    groups: list[str] = []
    """Groups that may read it; ``*`` is everyone who can log in."""
    state: CrawlState
    error: str | None = None
    crawled_at: datetime | None = None
    datasets: int = 0


class Column(Wire):
    """One column of a dataset."""

    name: str
    type: str
    nullable: bool = True
    comment: str = ""


class DatasetSummary(Wire):
    """A table or a file, as lists show it."""

    name: str
    """``source.schema.table``: unique, and what ``/datasets/{name}`` takes."""
    source: Name
    schema_name: str
    table: str
    kind: str = "table"
    """``table``, ``view`` or ``file``."""
    row_count: int | None = None
    """Rows at the last crawl; null when counting took too long."""
    column_count: int
    comment: str = ""


class Dataset(DatasetSummary):
    """A table or a file with its columns and the snippet that reads it."""

    columns: list[Column]
    snippet: str
    """A cell that reads it: ``%%sql SOURCE --out df`` and a query."""


class Table(Wire):
    """Rows for people to look at; programs ask for Arrow instead.

    ``rows`` is row-major, each row as long as ``columns``; values JSON has no type for
    (dates, decimals, bytes) are strings.
    """

    columns: list[Column]
    rows: list[list[Any]]
    truncated: bool = False
    """True when the source had more rows than ``limit``."""


class Query(Wire):
    """A read-only statement with bound parameters."""

    sql: str = Field(min_length=1, max_length=100_000)
    parameters: dict[str, Any] = {}
    """Values for ``:name`` placeholders; never pasted into the text."""
    limit: int = Field(default=100_000, ge=1, le=1_000_000)
    """Most rows to return."""

"""Look at a database through SQLAlchemy: every schema, table and view with its columns."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sqlalchemy import Engine, Inspector, inspect
from sqlalchemy.engine.interfaces import ReflectedColumn
from sqlalchemy.engine.reflection import ObjectKind
from sqlalchemy.exc import CompileError, SAWarning

from perijove.types.catalog import Column
from perijove_hub.catalog.connector import COUNT_SOURCE_S, COUNT_TABLE_S, Crawl, Found

#: Schemas a database keeps for itself.
_SYSTEM = frozenset(
    {"information_schema", "pg_catalog", "pg_toast", "mysql", "performance_schema", "sys"}
)
Count = Callable[[str, str, float], int | None]


def inspect_database(engine: Engine, *, count: Count) -> Crawl:
    """List tables and views; ``count(schema, table, seconds)`` gives rows or ``None``."""
    found: list[Found] = []
    deadline = time.monotonic() + COUNT_SOURCE_S
    with engine.connect() as connection, warnings.catch_warnings():
        # A column type SQLAlchemy does not know is shown by the name the database gives it.
        warnings.simplefilter("ignore", SAWarning)
        inspector = inspect(connection)
        for schema in inspector.get_schema_names():
            if schema.lower() in _SYSTEM or schema.startswith(("pg_temp_", "pg_toast_temp_")):
                continue
            found += _tables(inspector, engine, schema)
    return Crawl([_counted(table, count, deadline) for table in found])


def _tables(inspector: Inspector, engine: Engine, schema: str) -> list[Found]:
    columns = inspector.get_multi_columns(schema=schema, kind=ObjectKind.ANY)
    views = set(inspector.get_view_names(schema=schema))
    comments: dict[Any, Any] = {}
    if engine.dialect.supports_comments:
        comments = dict(inspector.get_multi_table_comment(schema=schema, kind=ObjectKind.ANY))
    return [
        Found(
            schema=schema,
            table=key[1],
            kind="view" if key[1] in views else "table",
            columns=[_column(column, engine) for column in described],
            comment=(comments.get(key) or {}).get("text") or "",
        )
        for key, described in sorted(columns.items(), key=lambda item: str(item[0][1]))
    ]


def _column(column: ReflectedColumn, engine: Engine) -> Column:
    try:
        kind = column["type"].compile(engine.dialect)
    except CompileError:
        kind = "unknown"
    return Column(
        name=column["name"],
        type=kind.lower(),
        nullable=column["nullable"],
        comment=column.get("comment") or "",
    )


def _counted(table: Found, count: Count, deadline: float) -> Found:
    """Add the row count, as far as the time left for the source allows."""
    seconds = min(COUNT_TABLE_S, deadline - time.monotonic())
    rows = count(table.schema, table.table, seconds) if seconds > 0 else None
    return replace(table, row_count=rows)

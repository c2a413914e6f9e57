"""Rows on their way out: from any database to Arrow, and from Arrow to the wire."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa

from perijove.types.catalog import Column, Table

#: Most memory one result may take, in bytes as Python holds it; beyond it is truncated.
MOST_BYTES = 512 * 2**20
#: What a cell costs besides its text, in bytes: the object and its place in a list.
CELL_BYTES = 32
#: Beyond it JavaScript rounds integers.
MOST_EXACT = 2**53


@dataclass(frozen=True)
class Rows:
    """A result; ``truncated`` when the source had more."""

    table: pa.Table
    truncated: bool

    def as_wire(self) -> Table:
        """Make the JSON form, for people."""
        columns = [[plain(v) for v in column.to_pylist()] for column in self.table.columns]
        return Table(
            columns=[
                Column(name=field.name, type=str(field.type), nullable=field.nullable)
                for field in self.table.schema
            ],
            rows=[list(row) for row in zip(*columns, strict=True)],
            truncated=self.truncated,
        )

    def as_stream(self) -> bytes:
        """Make the Arrow IPC stream, for programs."""
        mark = {"perijove.truncated": "true" if self.truncated else "false"}
        table = self.table.replace_schema_metadata(mark)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        content: bytes = sink.getvalue().to_pybytes()
        return content


def gather(names: Sequence[str], rows: Iterable[Sequence[Any]], limit: int) -> Rows:
    """Collect at most ``limit`` rows from a cursor, stopping early at ``MOST_BYTES``."""
    columns: list[list[Any]] = [[] for _ in names]
    size = 0
    truncated = False
    for count, row in enumerate(rows):
        if count >= limit or size > MOST_BYTES:
            truncated = True
            break
        size += CELL_BYTES * len(row)
        for column, value in zip(columns, row, strict=True):
            if isinstance(value, str | bytes | memoryview):
                size += len(value)
            column.append(value)
    arrays = [array_of(column) for column in columns]
    schema = pa.schema([pa.field(n, a.type) for n, a in zip(names, arrays, strict=True)])
    return Rows(pa.Table.from_arrays(arrays, schema=schema), truncated)


def array_of(values: list[Any]) -> pa.Array:
    """Find the Arrow type that holds ``values`` exactly; text where there is none.

    SQLite may mix types within a column, and JSON documents have no one shape.
    """
    kinds = {type(value) for value in values if value is not None}
    if memoryview in kinds:
        values = [bytes(v) if isinstance(v, memoryview) else v for v in values]
    if UUID not in kinds and not any(_is_document(value) for value in values):
        try:
            return pa.array(values)
        except (pa.ArrowException, OverflowError, TypeError, ValueError):
            pass
    return pa.array([None if value is None else text(value) for value in values], pa.string())


def text(value: Any) -> str:
    """Write any value as text: documents as JSON, bytes as hexadecimal."""
    if isinstance(value, dict | list):
        return json.dumps(value, default=text, ensure_ascii=False)
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


def plain(value: Any) -> Any:
    """Turn a value into one JSON can carry without loss; text where it has no such type."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return value if abs(value) <= MOST_EXACT else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal | timedelta):
        return str(value)
    if isinstance(value, dict):
        return {text(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return text(value)


def _is_document(value: Any) -> bool:
    """Tell a JSON document (an object, or a list with one inside) from a plain array."""
    return isinstance(value, dict) or (
        isinstance(value, list) and any(_is_document(item) for item in value)
    )

"""The catalog from Python: ``search``, ``show``, ``sources``, ``read``.

Everything goes through the control plane: no address, user or password of a database is ever
known here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from perijove.client import Client
from perijove.exceptions import ParameterError
from perijove.types.base import Page
from perijove.types.catalog import Dataset, DatasetSummary, Query, Source, Table

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["Result", "preview", "query", "read", "search", "show", "sources"]

#: Asks for rows as Arrow.
ARROW_STREAM = "application/vnd.apache.arrow.stream"
#: Most rows when nobody says otherwise.
LIMIT = 100_000


@dataclass(frozen=True)
class Result:
    """What a query gave."""

    table: pa.Table
    truncated: bool
    """True when the source had more rows than were asked for."""

    def to_pandas(self) -> pd.DataFrame:
        """Convert with the column types pandas has for them.

        Whole numbers and booleans with gaps become pandas' nullable types, because floats would
        round them; dates become ``datetime64``.
        """
        import pandas as pd
        import pyarrow as pa

        gaps = {
            field.name
            for field, column in zip(self.table.schema, self.table.columns, strict=True)
            if column.null_count
        }
        nullable: dict[Any, Any] = {
            pa.int8(): pd.Int8Dtype(),
            pa.int16(): pd.Int16Dtype(),
            pa.int32(): pd.Int32Dtype(),
            pa.int64(): pd.Int64Dtype(),
            pa.uint8(): pd.UInt8Dtype(),
            pa.uint16(): pd.UInt16Dtype(),
            pa.uint32(): pd.UInt32Dtype(),
            pa.uint64(): pd.UInt64Dtype(),
            pa.bool_(): pd.BooleanDtype(),
        }
        frame: pd.DataFrame = self.table.to_pandas(date_as_object=False)
        exact: pd.DataFrame = self.table.to_pandas(date_as_object=False, types_mapper=nullable.get)
        columns = [
            exact.iloc[:, at] if name in gaps else frame.iloc[:, at]
            for at, name in enumerate(self.table.column_names)
        ]
        return pd.concat(columns, axis=1) if columns else frame


def search(words: str = "", *, source: str | None = None, limit: int = 100) -> list[DatasetSummary]:
    """Find tables and files whose name, comment or columns hold every one of ``words``."""
    with Client() as client:
        page = client.get(
            Page[DatasetSummary], "/datasets", q=words or None, source=source, limit=limit
        )
    return page.items


def sources() -> list[Source]:
    """Return the sources you may read."""
    with Client() as client:
        return client.get(Page[Source], "/sources").items


def show(name: str) -> Dataset:
    """Describe a dataset by its full name, ``source.schema.table``."""
    with Client() as client:
        return client.get(Dataset, f"/datasets/{quote(name, safe='')}")


def preview(name: str, *, limit: int = 20) -> Table:
    """Return the first rows of a dataset."""
    with Client() as client:
        return client.get(Table, f"/datasets/{quote(name, safe='')}/preview", limit=limit)


def read(
    sql: str,
    source: str,
    *,
    parameters: Mapping[str, Any] | None = None,
    limit: int = LIMIT,
) -> pd.DataFrame:
    """Run one read-only statement and return its rows as a DataFrame.

    ``parameters`` gives values to ``:name`` placeholders. At most ``limit`` rows come back, and
    a warning tells when there were more. Raises ``ApiError`` with the database's own message.
    """
    result = query(sql, source, parameters=parameters, limit=limit)
    if result.truncated:
        import warnings

        warnings.warn(
            f"Only the first {result.table.num_rows:,} rows were read; the source has more.",
            stacklevel=2,
        )
    return result.to_pandas()


def query(
    sql: str,
    source: str,
    *,
    parameters: Mapping[str, Any] | None = None,
    limit: int = LIMIT,
) -> Result:
    """Run one read-only statement and return its rows as Arrow."""
    import pyarrow as pa

    values = {name: _sendable(name, value) for name, value in (parameters or {}).items()}
    with Client() as client:
        response = client.send(
            "POST",
            f"/sources/{quote(source, safe='')}/query",
            json=Query(sql=sql, parameters=values, limit=limit),
            headers={"Accept": ARROW_STREAM},
        )
    table = pa.ipc.open_stream(response.content).read_all()
    metadata = table.schema.metadata or {}
    return Result(table, metadata.get(b"perijove.truncated") == b"true")


def _sendable(name: str, value: Any) -> Any:
    """Turn a value of Python, numpy or pandas into one that JSON carries.

    Raises ``ParameterError`` for anything that is not a plain value or a list of them.
    """
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    elif hasattr(value, "tolist"):
        value = value.tolist()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, list | tuple | set):
        return [_sendable(name, item) for item in value]
    raise ParameterError(
        name,
        f"'{name}' is a {type(value).__name__}, which cannot be bound in a statement. "
        "Give a number, text, a date, True, False, None or a list of them.",
    )

"""Lists page alike: ``?cursor=`` continues after the last row by its sort key, not its number."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from fastapi import Query
from sqlalchemy import Select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from perijove_hub.exceptions import Invalid

RowT = TypeVar("RowT")

Cursor = Annotated[str | None, Query(max_length=1000, description="From ``next_cursor``")]
Limit = Annotated[int, Query(ge=1, le=500, description="Most items to return")]


def paginate(
    session: Session,
    rows: Select[RowT],
    *,
    by: InstrumentedAttribute[Any],
    tie: InstrumentedAttribute[Any],
    cursor: str | None,
    limit: int,
    descending: bool = False,
) -> tuple[Sequence[RowT], str | None]:
    """Return one page of ``rows`` ordered by ``by``, then by the unique ``tie``.

    Returns the rows and the cursor of the next page, ``None`` at the end.
    Raises ``Invalid`` for a cursor this list never gave.
    """
    if cursor is not None:
        first, second = _decode(cursor)
        after = (_fitting(by, first), _fitting(tie, second))
        key = tuple_(by, tie)
        rows = rows.where(key < after if descending else key > after)
    order = (by.desc(), tie.desc()) if descending else (by.asc(), tie.asc())
    found = session.scalars(rows.order_by(*order).limit(limit + 1)).all()
    if len(found) <= limit:
        return found, None
    last = found[limit - 1]
    return found[:limit], _encode(getattr(last, by.key), getattr(last, tie.key))


def _encode(*key: Any) -> str:
    marked = [
        {"t": part.astimezone(UTC).isoformat()} if isinstance(part, datetime) else part
        for part in key
    ]
    return base64.urlsafe_b64encode(json.dumps(marked).encode()).decode()


def _decode(cursor: str) -> list[Any]:
    """Read the sort key that ``_encode`` wrote; raises ``Invalid``."""
    try:
        parts = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        if not isinstance(parts, list) or len(parts) != 2:
            raise ValueError
        json.dumps(parts, ensure_ascii=False).encode()
        return [
            datetime.fromisoformat(part["t"]).astimezone(UTC) if isinstance(part, dict) else part
            for part in parts
        ]
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        raise _unknown_cursor() from None


def _fitting(column: InstrumentedAttribute[Any], part: Any) -> Any:
    """Return ``part`` when ``column`` can hold it; no database is asked about what it cannot."""
    fits = type(part) is column.type.python_type
    if isinstance(part, int):
        fits = fits and abs(part) < 2**31
    elif isinstance(part, str):
        fits = fits and "\0" not in part
    if not fits:
        raise _unknown_cursor()
    return part


def mlflow_cursor(cursor: str) -> str:
    """Return a page token of MLflow's, which fails at some that it never gave.

    Raises ``Invalid``.
    """
    try:
        parts = json.loads(base64.b64decode(cursor.encode("ascii"), validate=True))
        if isinstance(parts, dict) and 0 < int(parts["offset"]) < 2**31:
            return cursor
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    raise _unknown_cursor()


def _unknown_cursor() -> Invalid:
    return Invalid(
        "The cursor is not one this list gave.",
        field="cursor",
        fix="Start again without a cursor.",
    )


def contains(text: str) -> str:
    """Turn words a person typed into a LIKE pattern; use with ``escape='\\\\'``."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"

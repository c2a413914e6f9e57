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
        after = _decode(cursor)
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


def _decode(cursor: str) -> tuple[Any, Any]:
    try:
        first, second = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        parts = [
            datetime.fromisoformat(part["t"]) if isinstance(part, dict) else part
            for part in (first, second)
        ]
    except (ValueError, TypeError, KeyError):
        raise Invalid(
            "The cursor is not one this list gave.",
            field="cursor",
            fix="Start again without a cursor.",
        ) from None
    return parts[0], parts[1]


def contains(text: str) -> str:
    """Turn words a person typed into a LIKE pattern; use with ``escape='\\\\'``."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"

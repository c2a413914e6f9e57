"""Jobs that run when a dataset of the catalog has changed: what a crawl says of it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from perijove_hub.store.clock import database_now
from perijove_hub.store.models import DatasetRow, ScheduleRow, SourceRow


def state(row: DatasetRow) -> dict[str, Any]:
    """Return what tells a dataset from itself later: columns, rows, a file's time, writes.

    Rows are counted within a time limit, only files have a time and only PostgreSQL counts
    writes, so each may be ``None``. A table of another database whose rows were changed and not
    added to looks the same as before.
    """
    columns = json.dumps([[one.name, one.type, one.nullable] for one in row.columns])
    return {
        "columns": hashlib.sha256(columns.encode()).hexdigest(),
        "rows": row.row_count,
        "modified": row.modified_at.isoformat() if row.modified_at else None,
        "writes": row.writes,
    }


def crawled(session: Session, source: str) -> None:
    """Let the scheduler look at the jobs that wait for datasets of ``source``.

    To be called in the transaction that writes what a crawl found.
    """
    session.flush()
    waiting = session.scalars(
        select(ScheduleRow)
        .join(DatasetRow, DatasetRow.name == ScheduleRow.dataset)
        .where(DatasetRow.source == source, ScheduleRow.paused.is_(False))
        .order_by(ScheduleRow.job_id)
        .with_for_update(of=ScheduleRow)
    ).all()
    for row in waiting:
        row.next_slot = database_now(session)


def take_change(session: Session, row: ScheduleRow) -> str | None:
    """Return the key of a change that ``row`` has not seen, and note that it has now.

    ``None`` when nothing changed, or the dataset is gone. What a crawl could not find out is no
    change, nor are fewer writes than before: the server has lost count, as after a crash.
    """
    found = session.get(DatasetRow, row.dataset)
    if found is None:
        return None
    seen, known = _known(row.dataset_seen or {}), _known(state(found))
    changed = any(_is_change(name, seen.get(name, value), value) for name, value in known.items())
    later = {**seen, **known}
    if seen.get("rows") != later.get("rows") and seen.get("writes") == later.get("writes"):
        # The server counts a write some seconds after it: the next crawl would see this one again.
        later.pop("writes", None)
    row.dataset_seen = later
    if not changed:
        return None
    crawled_at = session.get_one(SourceRow, found.source).crawled_at
    return f"dataset:{found.name}:{crawled_at.isoformat() if crawled_at else ''}"


def _is_change(name: str, before: Any, now: Any) -> bool:
    return bool(now > before if name == "writes" else now != before)


def _known(said: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if value is not None}

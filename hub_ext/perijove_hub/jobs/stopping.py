"""Stop runs of a backfill, a sweep or whatever else has several."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from perijove.types.jobs import Cause, RunState
from perijove_hub.jobs import after
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import RunRow

#: Ids in one statement: SQLite takes no more than 32,766 values.
_BATCH = 1000


def stop(session: Session, run_ids: Sequence[str], reason: str) -> None:
    """Cancel those that wait, and ask those that run to end; the others stay as they are."""
    for start in range(0, len(run_ids), _BATCH):
        _stop(session, run_ids[start : start + _BATCH], reason)


def _stop(session: Session, run_ids: Sequence[str], reason: str) -> None:
    # Conditional, because a worker may take or end a run at this moment.
    these = update(RunRow).where(RunRow.id.in_(run_ids))
    ended = session.scalars(
        these.where(RunRow.state == RunState.queued.value)
        .values(
            state=RunState.cancelled.value,
            cause=Cause.cancelled.value,
            reason=reason,
            ended_at=database_now(session),
        )
        .returning(RunRow.id)
        .execution_options(synchronize_session=False)
    ).all()
    session.execute(
        these.where(RunRow.state == RunState.running.value, RunRow.cancel_requested.is_(False))
        .values(cancel_requested=True, reason=reason)
        .execution_options(synchronize_session=False)
    )
    session.expire_all()
    rows = select(RunRow).where(RunRow.id.in_(ended)).order_by(RunRow.id)
    for row in session.scalars(rows).all():
        after.ended(session, row)

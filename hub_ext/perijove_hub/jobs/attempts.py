"""The tries of a run: those that another one followed, and the last, which is the run itself."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from perijove.types.jobs import Attempt, Cause, RunState
from perijove_hub.exceptions import NotFound
from perijove_hub.store.models import AttemptRow, RunRow

Tried = RunRow | AttemptRow
"""What is known of a try, whichever it is."""


def find(session: Session, run: RunRow, number: int | None) -> Tried:
    """Return a run's try by its number, ``None`` for the last. Raises ``NotFound``."""
    if number is None or number == run.attempt:
        return run
    found = session.get(AttemptRow, (run.id, number))
    if found is None:
        raise NotFound(
            f"The run has no attempt {number}.",
            field="attempt",
            fix=f"It is at its attempt {run.attempt}; leave the number out for that one.",
        )
    return found


def all_of(session: Session, run: RunRow) -> tuple[Attempt, ...]:
    """Tell of a run's tries in their order."""
    earlier = session.scalars(
        select(AttemptRow)
        .where(AttemptRow.run_id == run.id, AttemptRow.attempt < run.attempt)
        .order_by(AttemptRow.attempt)
    ).all()
    return (*map(_told, earlier), _told(run))


def _told(row: Tried) -> Attempt:
    return Attempt(
        attempt=row.attempt,
        state=RunState(row.state),
        reason=row.reason,
        cause=Cause(row.cause) if row.cause else None,
        failed_cell=row.failed_cell,
        has_output=row.output_sha256 is not None,
        started_at=row.started_at,
        ended_at=row.ended_at,
        peak_memory_mb=row.peak_memory_mb,
    )

"""A backfill's rows: what they say, how far they are, and how they end."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from perijove.types.backfills import (
    Backfill,
    BackfillCreate,
    BackfillRun,
    BackfillState,
    SlotState,
)
from perijove.types.jobs import RunState
from perijove_hub.jobs import stopping
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import BackfillRow, BackfillSlotRow, RunRow

#: What the row of a slot says whose run was made; the run says the rest.
MADE = "made"
WAITING, UNMADE = SlotState.waiting.value, SlotState.unmade.value
ACTIVE = (RunState.queued.value, RunState.running.value)


def counts(session: Session, ids: Sequence[str]) -> dict[str, dict[SlotState, int]]:
    """Count the slots of backfills by state, with one query however many they are."""
    found = session.execute(
        select(BackfillSlotRow.backfill_id, BackfillSlotRow.state, RunRow.state, func.count())
        .join_from(BackfillSlotRow, RunRow, BackfillSlotRow.run_id == RunRow.id, isouter=True)
        .where(BackfillSlotRow.backfill_id.in_(ids))
        .group_by(BackfillSlotRow.backfill_id, BackfillSlotRow.state, RunRow.state)
    )
    counted: dict[str, dict[SlotState, int]] = {one: {} for one in ids}
    for backfill_id, state, run_state, number in found:
        counted[backfill_id][SlotState(run_state if state == MADE else state)] = number
    return counted


def active(session: Session, backfill_id: str) -> list[str]:
    """Return the ids of its runs that wait or run."""
    rows = select(RunRow.id).join(BackfillSlotRow, BackfillSlotRow.run_id == RunRow.id)
    return list(
        session.scalars(
            rows.where(BackfillSlotRow.backfill_id == backfill_id, RunRow.state.in_(ACTIVE))
        )
    )


def cancel(session: Session, row: BackfillRow, reason: str) -> None:
    """End a backfill, which the caller has locked, and its runs; no further one is made."""
    row.state, row.reason = BackfillState.cancelled.value, reason
    row.ended_at = database_now(session)
    session.execute(
        update(BackfillSlotRow)
        .where(BackfillSlotRow.backfill_id == row.id, BackfillSlotRow.state == WAITING)
        .values(state=UNMADE)
    )
    session.flush()
    stopping.stop(session, active(session, row.id), reason)


def wire(row: BackfillRow, job_name: str, counted: dict[SlotState, int]) -> Backfill:
    """Tell of one backfill."""
    asked = BackfillCreate.model_validate(row.spec)
    return Backfill(
        id=row.id,
        job_id=row.job_id,
        job=job_name,
        version=row.version,
        state=BackfillState(row.state),
        reason=row.reason,
        requested_by=row.requested_by,
        **asked.model_dump(exclude={"version", "dry_run"}),
        total=row.total,
        counts=counted,
        created_at=row.created_at,
        ended_at=row.ended_at,
    )


def wire_slot(row: BackfillSlotRow, run_state: str | None) -> BackfillRun:
    """Tell of one slot."""
    return BackfillRun(
        position=row.position,
        state=SlotState(run_state or row.state),
        slot=row.slot,
        parameters=row.parameters,
        run_id=row.run_id,
        earlier_run_id=row.earlier_run_id,
        earlier_state=SlotState(row.earlier_state) if row.earlier_state else None,
    )

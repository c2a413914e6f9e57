"""Serve one schedule that is due: its run and its next slot, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from perijove.types.jobs import CatchUp, Overlap
from perijove_hub.exceptions import Invalid
from perijove_hub.jobs import after, catchup, datasets
from perijove_hub.jobs import slots as clock
from perijove_hub.jobs.batch import Batch
from perijove_hub.store import audit
from perijove_hub.store.models import ScheduleRow


def serve(batch: Batch, row: ScheduleRow) -> None:
    """Add what is due of ``row``, one of the batch's, and move on."""
    if row.paused or row.next_slot is None or row.next_slot > batch.now:
        return
    slots = clock.of(row)
    if slots is not None:
        _by_clock(batch, row, slots, first=row.next_slot)
        return
    # Until the next crawl, or the next run of an upstream job, says so again.
    row.next_slot = None
    if row.dataset is not None:
        change = datasets.take_change(batch.session, row)
        if change is not None:
            _add(batch, row, "dataset", change)
        return
    verdict = after.judge(batch.session, row)
    if verdict.unfit:
        _leave_out(batch, row, verdict.because, runs=verdict.unfit)
    if verdict.due:
        _add(batch, row, "after", verdict.key, upstream=verdict.due)


def _by_clock(batch: Batch, row: ScheduleRow, slots: clock.Slots, *, first: datetime) -> None:
    now = batch.now
    due = catchup.due(
        slots, first=first, now=now, policy=row.catch_up, window_s=row.catch_up_window_s
    )
    if due.left_out:
        served = due.slots[0].isoformat() if due.slots else None
        _leave_out(batch, row, "missed", skipped=due.left_out, served=served)
    for slot in due.slots:
        missed = row.catch_up == CatchUp.all and now - slot > catchup.LATE
        if missed and not batch.room(row):
            # It came late because nothing was there to serve it, so no run was in its way when
            # it was due: it waits here until there is room.
            row.next_slot = slot
            return
        _add(batch, row, "schedule", f"slot:{slot.isoformat()}", slot=slot)
        row.last_slot = slot
    if not due.slots:
        row.last_slot = due.newest
    row.next_slot = next(slots(row.last_slot or now), None)


def _add(
    batch: Batch,
    row: ScheduleRow,
    trigger: str,
    key: str,
    *,
    slot: datetime | None = None,
    upstream: Mapping[str, str] | None = None,
) -> None:
    try:
        version = batch.version(row)
    except Invalid as error:
        _leave_out(batch, row, error.detail, key=key)
        return
    if not batch.room(row):
        if row.overlap != Overlap.cancel:
            _leave_out(batch, row, "an earlier run is not over", key=key)
            return
        batch.make_way(row)
    batch.add(row, version, trigger, key, slot=slot, upstream=upstream or {})


def _leave_out(batch: Batch, row: ScheduleRow, because: str, **detail: Any) -> None:
    session = batch.session
    audit.record(session, "scheduler", "schedule.skip", row.job_id, because=because, **detail)

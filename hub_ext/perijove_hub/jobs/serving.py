"""Serve one schedule that is due: its run and its next slot, in the caller's transaction."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from perijove.types.jobs import CatchUp, Overlap
from perijove_hub.context import Context
from perijove_hub.exceptions import Invalid
from perijove_hub.jobs import after, catchup, datasets, overlap, versions
from perijove_hub.jobs import slots as clock
from perijove_hub.jobs.enqueue import enqueue
from perijove_hub.store import audit
from perijove_hub.store.models import JobRow, ScheduleRow

log = logging.getLogger(__name__)


def serve(session: Session, context: Context, row: ScheduleRow, now: datetime) -> None:
    """Queue what is due of ``row``, which the caller has locked, and move on."""
    if row.paused or row.next_slot is None or row.next_slot > now:
        return
    slots = clock.of(row)
    if slots is not None:
        _by_clock(session, context, row, slots, first=row.next_slot, now=now)
        return
    # Until the next crawl, or the next run of an upstream job, says so again.
    row.next_slot = None
    if row.dataset is not None:
        change = datasets.take_change(session, row)
        if change is not None:
            _queue(session, context, row, "dataset", change)
        return
    verdict = after.judge(session, row)
    if verdict.unfit:
        _leave_out(session, row, verdict.because, runs=verdict.unfit)
    if verdict.due:
        _queue(session, context, row, "after", verdict.key, upstream=verdict.due)


def _by_clock(
    session: Session,
    context: Context,
    row: ScheduleRow,
    slots: clock.Slots,
    *,
    first: datetime,
    now: datetime,
) -> None:
    due = catchup.due(
        slots, first=first, now=now, policy=row.catch_up, window_s=row.catch_up_window_s
    )
    if due.left_out:
        served = due.slots[0].isoformat() if due.slots else None
        _leave_out(session, row, "missed", skipped=due.left_out, served=served)
    for slot in due.slots:
        missed = row.catch_up == CatchUp.all and now - slot > catchup.LATE
        if missed and not overlap.room(session, row):
            # It came late because nothing was there to serve it, so no run was in its way when
            # it was due: it waits here until there is room.
            row.next_slot = slot
            return
        _queue(session, context, row, "schedule", f"slot:{slot.isoformat()}", slot=slot)
        row.last_slot = slot
    if not due.slots:
        row.last_slot = due.newest
    row.next_slot = next(slots(row.last_slot or now), None)


def _queue(
    session: Session,
    context: Context,
    row: ScheduleRow,
    trigger: str,
    key: str,
    *,
    slot: datetime | None = None,
    upstream: Mapping[str, str] | None = None,
) -> None:
    said = {"slot": slot.isoformat()} if slot else {"key": key}
    try:
        version = versions.followed(session, row.job_id, version=row.version, follow=row.follow)
    except Invalid as error:
        _leave_out(session, row, error.detail, **said)
        return
    if not overlap.room(session, row):
        if row.overlap != Overlap.cancel:
            _leave_out(session, row, "an earlier run is not over", **said)
            return
        overlap.make_way(session, row)
    job = session.get_one(JobRow, row.job_id)
    run = enqueue(
        session,
        context,
        job,
        version.version,
        parameters=row.parameters,
        trigger=trigger,
        requested_by=job.owner,
        key=key,
        slot=slot,
        upstream=upstream,
    )
    if run is None:
        log.info("job %s: %s was served before", job.id, key)


def _leave_out(session: Session, row: ScheduleRow, because: str, **detail: Any) -> None:
    audit.record(session, "scheduler", "schedule.skip", row.job_id, because=because, **detail)

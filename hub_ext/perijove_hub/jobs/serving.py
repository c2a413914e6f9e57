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
from perijove_hub.jobs.enqueue import enqueue_all
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
            _queue(session, context, row, "dataset", {change: None})
        return
    verdict = after.judge(session, row)
    if verdict.unfit:
        _leave_out(session, row, verdict.because, runs=verdict.unfit)
    if verdict.due:
        _queue(session, context, row, "after", {verdict.key: None}, upstream=verdict.due)


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
    # None is in another's way: then they go together, which is many times faster.
    together = [due.slots] if row.overlap == Overlap.allow and due.slots else None
    for slots_now in together or [[slot] for slot in due.slots]:
        missed = row.catch_up == CatchUp.all and now - slots_now[0] > catchup.LATE
        if missed and not overlap.room(session, row):
            # It came late because nothing was there to serve it, so no run was in its way when
            # it was due: it waits here until there is room.
            row.next_slot = slots_now[0]
            return
        keys: dict[str | None, datetime | None] = {
            f"slot:{slot.isoformat()}": slot for slot in slots_now
        }
        _queue(session, context, row, "schedule", keys)
        row.last_slot = slots_now[-1]
    if not due.slots:
        row.last_slot = due.newest
    row.next_slot = next(slots(row.last_slot or now), None)


def _queue(
    session: Session,
    context: Context,
    row: ScheduleRow,
    trigger: str,
    made_for: Mapping[str | None, datetime | None],
    *,
    upstream: Mapping[str, str] | None = None,
) -> None:
    """Add the runs of ``made_for``, slots by keys, unless they are to be left out."""
    try:
        version = versions.followed(session, row.job_id, version=row.version, follow=row.follow)
    except Invalid as error:
        _leave_out(session, row, error.detail, keys=list(made_for))
        return
    if not overlap.room(session, row):
        if row.overlap != Overlap.cancel:
            _leave_out(session, row, "an earlier run is not over", keys=list(made_for))
            return
        overlap.make_way(session, row)
    job = session.get_one(JobRow, row.job_id)
    added = enqueue_all(
        session,
        context,
        job,
        version.version,
        made_for,
        parameters=row.parameters,
        trigger=trigger,
        requested_by=job.owner,
        upstream=upstream,
    )
    if len(added) < len(made_for):
        log.info("job %s: of %s some were served before", job.id, ", ".join(map(str, made_for)))


def _leave_out(session: Session, row: ScheduleRow, because: str, **detail: Any) -> None:
    audit.record(session, "scheduler", "schedule.skip", row.job_id, because=because, **detail)

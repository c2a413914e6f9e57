"""The slots of a schedule that goes by the clock, whether by cron or by interval."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from itertools import islice, takewhile

from perijove_hub.jobs import schedule
from perijove_hub.store.models import ScheduleRow

#: Gives the instants after one, in UTC and in order.
Slots = Callable[[datetime], Iterator[datetime]]

#: Most missed slots that are counted one by one.
COUNTED = 1000
#: How far back to look first for the latest slot, so that a schedule of every minute that was
#: not served for a year is not walked through.
BACK = (timedelta(hours=2), timedelta(days=2), timedelta(days=35), timedelta(days=400))


def of(row: ScheduleRow) -> Slots | None:
    """Return the slots of a schedule; ``None`` for one that does not go by the clock."""
    if row.cron is not None:
        return partial(schedule.slots, row.cron, row.timezone)
    if row.every_s is not None and row.anchor is not None:
        return partial(every, row.anchor, row.every_s)
    return None


def every(anchor: datetime, every_s: int, after: datetime) -> Iterator[datetime]:
    """Yield ``anchor`` plus multiples of ``every_s`` seconds, those after ``after``.

    Always counted from ``anchor``, so that nothing that comes late moves the ones that follow.
    """
    step = timedelta(seconds=every_s)
    number = max(1, (after - anchor) // step + 1)
    while True:
        yield anchor + number * step
        number += 1


def at_or_after(slots: Slots, instant: datetime) -> datetime | None:
    """Return the first slot that is not before ``instant``."""
    return next(slots(instant - timedelta(microseconds=1)), None)


def latest(slots: Slots, *, first: datetime, now: datetime) -> datetime:
    """Return the latest slot from ``first``, a slot that is due, to ``now``."""
    for back in BACK:
        if now - back > first:
            *_, found = [None, *_until(slots, now - back, now)]
            if found is not None:
                return found
    *_, last = [first, *_until(slots, first, now)]
    return last


def count(slots: Slots, *, first: datetime, before: datetime) -> int:
    """Count the slots from ``first``, a slot, to the last one before ``before``.

    No further than ``COUNTED``.
    """
    if first >= before:
        return 0
    following = takewhile(lambda slot: slot < before, slots(first))
    return 1 + sum(1 for _ in islice(following, COUNTED - 1))


def _until(slots: Slots, after: datetime, last: datetime) -> Iterator[datetime]:
    return takewhile(lambda slot: slot <= last, slots(after))

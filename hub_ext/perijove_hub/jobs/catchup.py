"""Which of the slots that are due are served, and which are left out as missed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, takewhile

from perijove.types.jobs import CatchUp
from perijove_hub.jobs.slots import Slots, at_or_after, count, latest

#: A slot that is served later than this was missed: nothing was there to serve it.
LATE = timedelta(minutes=1)
#: Most slots of one schedule that are served in one step.
AT_ONCE = 10


@dataclass(frozen=True)
class Due:
    """What to do about the slots of a schedule that are due."""

    slots: list[datetime]
    """To be served, oldest first; further ones may be due after them."""
    left_out: int
    """How many earlier ones are not, counted up to a thousand."""
    newest: datetime
    """The newest one that is due."""


def due(slots: Slots, *, first: datetime, now: datetime, policy: str, window_s: int | None) -> Due:
    """Choose among the slots from ``first``, a slot that is due, to ``now``.

    ``policy`` is a ``CatchUp``; slots older than ``window_s`` are left out whatever it says.
    """
    last = latest(slots, first=first, now=now)
    begin: datetime | None = first
    if window_s is not None and now - first > timedelta(seconds=window_s):
        begin = at_or_after(slots, now - timedelta(seconds=window_s))
    if begin is None or begin > now:
        return Due([], count(slots, first=first, before=last) + 1, last)
    if policy == CatchUp.all:
        further = takewhile(lambda slot: slot <= now, slots(begin))
        served = [begin, *islice(further, AT_ONCE - 1)]
    elif policy == CatchUp.skip and now - last > LATE:
        return Due([], count(slots, first=first, before=last) + 1, last)
    else:
        served = [last]
    return Due(served, count(slots, first=first, before=served[0]), last)

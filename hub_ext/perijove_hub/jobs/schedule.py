"""Cron expressions: which are accepted, and when they are due.

cronsim has the rules of Debian's cron: a fixed time runs exactly once a day, also where clocks
change; a wildcard hour follows real time.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from perijove_hub.exceptions import Invalid

#: Most missed slots that are counted one by one.
COUNTED = 1000
#: How far back to look first for the latest slot, so that a schedule of every minute that was
#: not served for a year is not walked through.
BACK = (timedelta(hours=2), timedelta(days=2), timedelta(days=35), timedelta(days=400))


def check(cron: str, timezone: str, *, field: str = "schedule") -> None:
    """Refuse what is no schedule.

    Raises ``Invalid`` for an expression without exactly five fields, one that never comes due,
    and a time zone that is none.
    """
    if timezone not in _zones():
        raise Invalid(
            f"'{timezone}' is not a time zone.",
            field=f"{field}.timezone",
            fix="Use an IANA name, such as Europe/Berlin or UTC.",
        )
    if len(cron.split()) != 5:
        raise Invalid(
            f"A cron expression has five fields, '{cron}' has {len(cron.split())}.",
            field=f"{field}.cron",
            fix="Write minute, hour, day of month, month, day of week: '0 6 * * 1-5'.",
        )
    try:
        found = next(slots(cron, timezone, datetime.now(UTC)), None)
    except CronSimError as error:
        raise Invalid(
            f"'{cron}' is no cron expression, or never comes due: {str(error).lower()}.",
            field=f"{field}.cron",
            fix="Write minute, hour, day of month, month, day of week: '0 6 * * 1-5'.",
        ) from None
    if found is None:
        raise Invalid(
            f"'{cron}' never comes due.",
            field=f"{field}.cron",
            fix="Choose a day that its months have.",
        )


def slots(cron: str, timezone: str, after: datetime) -> Iterator[datetime]:
    """Yield the instants after ``after``, in UTC and in order."""
    last = after
    for slot in CronSim(cron, after.astimezone(ZoneInfo(timezone))):
        instant = slot.astimezone(UTC)
        # In the hour that clocks repeat, cronsim may begin with an instant that has passed.
        if instant > last:
            last = instant
            yield instant


def next_slot(cron: str, timezone: str, after: datetime) -> datetime | None:
    """Return the first instant after ``after``."""
    return next(slots(cron, timezone, after), None)


def missed(cron: str, timezone: str, *, first: datetime, now: datetime) -> tuple[datetime, int]:
    """Return the latest slot from ``first``, a slot that is due, to ``now``.

    Also returns how many earlier ones that leaves out, counted up to ``COUNTED``.
    """
    latest = first
    for back in BACK:
        if now - back > first:
            found = list(_until(cron, timezone, now - back, now))
            if found:
                latest = found[-1]
                break
    else:
        latest = [first, *_until(cron, timezone, first, now)][-1]
    skipped = sum(1 for _ in islice(_until(cron, timezone, first, latest), COUNTED))
    return latest, skipped


def _until(cron: str, timezone: str, after: datetime, last: datetime) -> Iterator[datetime]:
    for slot in slots(cron, timezone, after):
        if slot > last:
            return
        yield slot


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())

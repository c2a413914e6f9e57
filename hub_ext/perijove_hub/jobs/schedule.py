"""Cron expressions: which are accepted, and when they are due.

The rules are those of Debian's cron: a fixed time runs exactly once a day, also where clocks
change; a wildcard for minutes or hours follows real time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from difflib import get_close_matches
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from perijove_hub.exceptions import Invalid

_FIX = "Write minute, hour, day of month, month, day of week: '0 6 * * 1-5'."
_NEVER = "Choose a day that its months have."
#: What other schedulers have names for.
_NAMED = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
#: How people write offsets and abbreviations, of which the next best may be hours away.
_ABBREVIATED = re.compile(r"[a-z]{1,4}|.*\d.*")
_STEP = re.compile(r"/(\d+)")


def check(cron: str, timezone: str, *, field: str = "schedule") -> None:
    """Refuse what is no schedule.

    Raises ``Invalid`` for an expression without exactly five fields, one that never comes due,
    and a time zone that is none.
    """
    check_zone(timezone, field=field)
    fields = cron.split()
    if len(fields) != 5:
        raise Invalid(
            f"A cron expression has five fields, '{cron}' has {len(fields)}.",
            field=f"{field}.cron",
            fix=_fix(fields),
        )
    for at, (unit, size, letter) in enumerate((("minute", 60, "m"), ("hour", 24, "h"))):
        step = max((int(number) for number in _STEP.findall(fields[at])), default=0)
        if step >= size:
            raise Invalid(
                f"A field of {unit}s ends at {size - 1}: '{fields[at]}' does not mean "
                f"every {step} {unit}s.",
                field=f"{field}.cron",
                fix=f"Give an interval instead: --every {step}{letter}.",
            )
    try:
        found = next(slots(cron, timezone, datetime.now(UTC)), None)
    except CronSimError as error:
        months = fields[3]
        if _is_cron(["0", "0", "*", months, "*"]) and _is_cron([*fields[:3], "*", fields[4]]):
            # They are months, and have no such day.
            found = None
        else:
            raise Invalid(
                f"'{cron}' is no cron expression: {str(error).lower()}.",
                field=f"{field}.cron",
                fix=_FIX,
            ) from None
    if found is None:
        raise Invalid(f"'{cron}' never comes due.", field=f"{field}.cron", fix=_NEVER)


def _fix(fields: list[str]) -> str:
    if len(fields) == 6:
        five = " ".join(fields[1:]).replace("?", "*")
        return f"Leave out the seconds: '{five}'."
    named = _NAMED.get(fields[0]) if len(fields) == 1 else None
    return f"Write '{named}'." if named else _FIX


def _is_cron(fields: list[str]) -> bool:
    try:
        CronSim(" ".join(fields), datetime.now(UTC))
    except CronSimError:
        return False
    return True


def check_zone(timezone: str, *, field: str = "schedule") -> None:
    """Refuse what is no IANA name of a time zone; raises ``Invalid`` with the nearest one."""
    if timezone in _zones():
        return
    near = _nearest(timezone)
    raise Invalid(
        f"'{timezone}' is not a time zone.",
        field=f"{field}.timezone",
        fix=f"Did you mean {near}?" if near else "Use an IANA name, such as Europe/Berlin or UTC.",
    )


def slots(cron: str, timezone: str, after: datetime) -> Iterator[datetime]:
    """Yield the instants after ``after``, in UTC and in order."""
    minutes, hours, *_ = cron.split()
    wildcard = minutes.startswith("*") or hours.startswith("*")
    local = after.astimezone(ZoneInfo(timezone))
    last = after
    for instant in _by_real_time(cron, local) if wildcard else _by_local_day(cron, local):
        # In the hour that clocks repeat, both may begin with an instant that has passed.
        if instant > last:
            last = instant
            yield instant


def next_slot(cron: str, timezone: str, after: datetime) -> datetime | None:
    """Return the first instant after ``after``."""
    return next(slots(cron, timezone, after), None)


def in_words(cron: str) -> str:
    """Say when an expression that was checked is due; itself where there are no words for it."""
    try:
        return str(CronSim(cron, datetime.now(UTC)).explain())
    # cronsim's words know fewer forms than its parser; a preview must not fail for that.
    except Exception:
        return f"By cron: {cron}"


def _by_local_day(cron: str, local: datetime) -> Iterator[datetime]:
    """Yield a fixed time's instants: once a day, also where clocks skip or repeat it."""
    return (slot.astimezone(UTC) for slot in CronSim(cron, local))


def _by_real_time(cron: str, local: datetime) -> Iterator[datetime]:
    """Yield every instant at which clocks show a time that fits.

    cronsim is asked for the times alone: with a zone it steps by hours, and passes over the rest
    of an hour that clocks jump into.
    """
    zone = local.tzinfo
    shown = local.replace(tzinfo=None, fold=0)
    repeated: list[datetime] = []
    # What is shown for the first time may be shown again after what is shown later.
    for time in CronSim(cron, shown - _repeats(shown, zone)):
        if repeated and time - repeated[0] > timedelta(days=1):
            yield from _again(repeated, zone)
        if _repeats(time, zone):
            yield time.replace(tzinfo=zone).astimezone(UTC)
            repeated.append(time)
            continue
        yield from _again(repeated, zone)
        instant = time.replace(tzinfo=zone).astimezone(UTC)
        if instant.astimezone(zone).replace(tzinfo=None) == time:
            yield instant
    yield from _again(repeated, zone)


def _repeats(time: datetime, zone: tzinfo | None) -> timedelta:
    """Return how much later clocks in ``zone`` show ``time`` again; zero where they do not."""
    first, second = (time.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
    return max(timedelta(), (first or timedelta()) - (second or timedelta()))


def _again(repeated: list[datetime], zone: tzinfo | None) -> Iterator[datetime]:
    while repeated:
        yield repeated.pop(0).replace(tzinfo=zone, fold=1).astimezone(UTC)


def _nearest(timezone: str) -> str | None:
    """Find the name that is most like ``timezone``, also by the city alone."""
    names = {name.lower(): name for name in sorted(_zones())}
    cities = {name.rpartition("/")[2]: found for name, found in names.items() if "/" in name}
    wanted = timezone.strip().lower().replace(" ", "_")
    if wanted not in names and wanted not in cities and _ABBREVIATED.fullmatch(wanted):
        # CEST is not nearly EST, nor is UTC+2 nearly UTC.
        return None
    for known in (names, cities):
        near = get_close_matches(wanted, known, n=1, cutoff=0.75)
        if near:
            return known[near[0]]
    return None


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())

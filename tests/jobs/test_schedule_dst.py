"""Clock changes of every IANA zone, against an oracle that looks at every minute.

The rule: a job at a fixed time is due at the first minute at which clocks show that time or have
passed it, so exactly once a local day; a job with a wildcard for minutes or hours is due at every
real minute whose clock time fits.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from importlib import resources
from itertools import takewhile
from pathlib import Path
from zoneinfo import TZPATH, ZoneInfo, available_timezones

import pytest

from perijove_hub.jobs import slots as clock
from perijove_hub.jobs.schedule import slots

SEED = 20261121
MINUTE = timedelta(minutes=1)
#: What is looked at of a clock change.
BEFORE, AFTER = timedelta(hours=3), timedelta(hours=24)
FIRST, LAST = datetime(2005, 1, 1, tzinfo=UTC), datetime(2036, 1, 1, tzinfo=UTC)


def rules() -> dict[str, str]:
    """Name one zone for each set of rules: many are links to another."""
    found: dict[bytes, str] = {}
    for name in sorted(available_timezones()):
        found.setdefault(_content(name), name)
    return {name: name for name in found.values()}


def _content(name: str) -> bytes:
    for folder in TZPATH:
        file = Path(folder) / name
        if file.is_file():
            return file.read_bytes()
    package = resources.files("tzdata") / "zoneinfo"
    return package.joinpath(*name.split("/")).read_bytes()


def changes(zone: ZoneInfo) -> list[datetime]:
    """Find the minutes at which the offset changes, from ``FIRST`` to ``LAST``."""
    found, step = [], timedelta(days=9)
    low = FIRST
    before = low.astimezone(zone).utcoffset()
    while low < LAST:
        high = low + step
        after = high.astimezone(zone).utcoffset()
        if after != before:
            left, right = low, high
            while right - left > MINUTE:
                middle = left + (right - left) // 2
                if middle.astimezone(zone).utcoffset() == before:
                    left = middle
                else:
                    right = middle
            found.append(right.replace(second=0, microsecond=0))
        low, before = high, after
    return found


def numbers(field: str, size: int) -> set[int]:
    """Read a field of ``*``, ``*/STEP``, numbers and ranges."""
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        low, _, high = span.partition("-")
        first, last = (0, size - 1) if span == "*" else (int(low), int(high or low))
        found |= set(range(first, last + 1, int(step or 1)))
    return found


class Walk:
    """Every minute about a clock change: the instant, and which minutes clocks show."""

    def __init__(self, first: datetime, last: datetime, zone: ZoneInfo) -> None:
        self.shown: list[tuple[datetime, datetime]] = []
        self.passed: list[tuple[datetime, Sequence[datetime]]] = []
        """Those shown or passed over for the first time."""
        at = first
        newest = first.astimezone(zone).replace(tzinfo=None)
        while at <= last:
            local = at.astimezone(zone).replace(tzinfo=None)
            self.shown.append((at, local))
            if local > newest:
                skipped = (local - newest) // MINUTE
                self.passed.append((at, [local - back * MINUTE for back in range(skipped)]))
                newest = local
            at += MINUTE

    def due(self, cron: str) -> list[datetime]:
        """Look at every minute: the oracle."""
        minutes, hours, days, _, weekdays = cron.split()
        times = {(h, m) for h in numbers(hours, 24) for m in numbers(minutes, 60)}

        def fits(local: datetime) -> bool:
            if (local.hour, local.minute) not in times:
                return False
            fitting = (
                local.day in numbers(days, 32),
                local.isoweekday() % 7 in numbers(weekdays, 7),
            )
            # One of them is enough where both are given.
            return all(fitting) if "*" in (days, weekdays) else any(fitting)

        if minutes.startswith("*") or hours.startswith("*"):
            return [at for at, local in self.shown if fits(local)]
        return [at for at, new in self.passed if any(map(fits, new))]


def crons(local: datetime, chance: random.Random) -> list[str]:
    """Choose expressions that are due about the hour ``local``."""
    minute = chance.choice([0, 1, 15, 29, 30, 59])
    hour = (local.hour + chance.choice([-2, -1, 0, 1])) % 24
    low, high = sorted((hour, local.hour))
    weekday = local.isoweekday() % 7
    return [
        f"{minute} {hour} * * *",
        chance.choice([f"{minute},{59 - minute} {low}-{high} * * *", f"0-50/25 {hour} * * *"]),
        chance.choice([f"{minute} * * * *", "*/15 * * * *", f"{minute} */2 * * *"]),
        f"*/20 {hour} * * *",
        chance.choice(
            [
                f"{minute} {hour} * * {weekday}",
                f"{minute} {hour} {local.day} * {(weekday + 3) % 7}",
                f"{minute} {hour} {local.day} * *",
                f"*/30 {hour} * * {weekday}",
            ]
        ),
    ]


def test_slots_are_due_when_the_rule_says_in_every_zone() -> None:
    chance = random.Random(SEED)
    zones = rules()
    assert len(zones) > 250
    changed = 0
    for name in zones:
        zone = ZoneInfo(name)
        found = changes(zone)
        # Those of the last years are what schedules meet; one of any year besides.
        chosen = {chance.choice(found), found[-1]} if found else {FIRST + timedelta(days=300)}
        for change in sorted(chosen):
            changed += bool(found)
            walk = Walk(change - BEFORE, change + AFTER, zone)
            for cron in crons(change.astimezone(zone), chance):
                _compare(cron, name, walk, chance)
    assert changed > 200


def _compare(cron: str, name: str, walk: Walk, chance: random.Random) -> None:
    first, last = walk.shown[0][0], walk.shown[-1][0]
    expected = walk.due(cron)
    # From any minute on, not from one: a schedule is set, served and caught up at any time.
    for start in (first, chance.choice(walk.shown)[0]):
        found = list(takewhile(lambda slot: slot <= last, slots(cron, name, start)))
        assert found == [slot for slot in expected if slot > start], (cron, name, start)


@pytest.mark.parametrize("zone", ["Africa/Casablanca", "Pacific/Apia", "Antarctica/Troll"])
def test_the_latest_missed_slot_is_the_same_from_wherever_it_is_looked_for(zone: str) -> None:
    first = datetime(2011, 12, 20, 5, tzinfo=UTC)
    for cron in ("30 2 * * *", "15 * * * *"):

        def of(after: datetime, cron: str = cron) -> Iterator[datetime]:
            return slots(cron, zone, after)

        every = [slot for slot, _ in zip(of(first), range(2000), strict=False)]
        for now in every[::97]:
            assert clock.latest(of, first=every[0], now=now + MINUTE / 2) == now

"""A schedule in words."""

from __future__ import annotations

from collections.abc import Sequence

from perijove.types.jobs import AfterRule, Schedule
from perijove_hub.jobs import schedule

_UNITS = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
_RULES = {
    AfterRule.all_success: "when each of these jobs has ended with success: {jobs}",
    AfterRule.any_failure: "when one of these jobs has failed: {jobs}",
    AfterRule.all_done: "when each of these jobs has ended, however it ended: {jobs}",
}


def describe(wanted: Schedule, upstream: Sequence[str]) -> str:
    """Say when a schedule that was checked is due; ``upstream`` are the jobs' names."""
    if wanted.cron is not None:
        return f"{schedule.in_words(wanted.cron)} ({wanted.timezone})"
    if wanted.every_s is not None:
        return f"Every {_duration(wanted.every_s)}, counted from when it is set"
    if wanted.dataset is not None:
        return f"When a crawl finds that {wanted.dataset} has changed"
    said = _RULES[wanted.rule].format(jobs=", ".join(upstream))
    return said[0].upper() + said[1:]


def _duration(seconds: int) -> str:
    parts = []
    for length, name in _UNITS:
        number, seconds = divmod(seconds, length)
        if number:
            parts.append(f"{number} {name}{'s' if number > 1 else ''}")
    return " ".join(parts).removeprefix("1 ") if len(parts) == 1 else " ".join(parts)

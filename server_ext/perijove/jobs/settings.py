"""What may be said of a job beside its notebook: schedule, limits, policy.

One table of flags serves ``%promote``, ``%job edit``, ``perijove jobs`` and the keywords of
``perijove.jobs``. A keyword left out leaves things as they are; ``"none"`` takes a limit away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypedDict, TypeVar, cast

from pydantic import BaseModel, ValidationError

from perijove.jobs.finding import JobError
from perijove.options import (
    NONE,
    Option,
    duration,
    names,
    number,
    one_of,
    or_none,
    seconds,
    whole,
)
from perijove.types.base import Visibility
from perijove.types.faults import first_fault
from perijove.types.jobs import (
    AfterRule,
    CatchUp,
    Follow,
    Overlap,
    Policy,
    Resources,
    Schedule,
    ScheduleState,
)

M = TypeVar("M", bound=BaseModel)
Seconds = int | str
Limit = int | Literal["none"]


class Settings(TypedDict, total=False):
    """Keywords of ``create`` and ``edit``; durations are seconds or text such as ``"6h"``."""

    schedule: str | None
    every: Seconds | None
    after: str | Sequence[str] | None
    rule: str | None
    on_data: str | None
    timezone: str | None
    catch_up: str | None
    catch_up_window: Seconds | None
    overlap: str | None
    follow: int | str | None
    parameters: Mapping[str, Any] | None
    memory_mb: Limit | None
    timeout_s: Limit | None
    cell_timeout_s: Limit | None
    max_output_mb: Limit | None
    retries: int | None
    retry_delay: Seconds | None
    retry_backoff: float | None
    concurrency: Limit | None
    priority: int | None
    keep_days: Limit | None
    keep_failed_days: Limit | None


def _version(given: str) -> int | Follow:
    if given.isdecimal() and int(given):
        return int(given)
    try:
        return Follow(given)
    except ValueError:
        raise ValueError("latest, approved or a version's number") from None


_limit = or_none(whole)
_lasting = or_none(seconds)

SCHEDULE = [
    Option("schedule", "Five cron fields, such as '0 6 * * 1-5'.", metavar="CRON"),
    Option("every", "In real time: 90s, 15m, 6h, 2d.", seconds, "DURATION"),
    Option("after", "When these jobs have ended a run each.", names, "JOB[,JOB]"),
    Option("on_data", "When this dataset of the catalog has changed.", metavar="DATASET"),
    Option("rule", "How the jobs of --after have to end.", one_of(AfterRule), "RULE"),
    Option("timezone", "IANA name, with --schedule; UTC if left out.", metavar="ZONE"),
    Option("catch_up", "Slots missed in an outage: skip, latest, all.", one_of(CatchUp), "HOW"),
    Option("catch_up_window", "Older slots are left out anyway.", _lasting, "DURATION"),
    Option(
        "overlap",
        "A slot while a run is not over: skip, queue, allow, cancel.",
        one_of(Overlap),
        "HOW",
    ),
    Option("follow", "The version it runs: latest, approved or N.", _version, "VERSION"),
]
RESOURCES = [
    Option("memory_mb", "MiB a run may use.", _limit, "MIB"),
    Option("timeout_s", "How long a run may take.", _lasting, "DURATION"),
    Option("cell_timeout_s", "How long a cell may take.", _lasting, "DURATION"),
    Option("max_output_mb", "MiB of the output notebook.", _limit, "MIB"),
]
POLICY = [
    Option("retries", "How often a failed or lost run is tried again.", whole, "N"),
    Option("retry_delay", "Before the first retry.", seconds, "DURATION"),
    Option("retry_backoff", "Multiplies the delay from retry to retry.", number, "FACTOR"),
    Option("concurrency", "Runs of the job at once.", _limit, "N"),
    Option("priority", "Higher numbers start first; -100 to 100.", whole, "N"),
    Option("keep_days", "Days until outputs of ended runs are deleted.", _limit, "DAYS"),
    Option("keep_failed_days", "The same for runs that did not succeed.", _limit, "DAYS"),
]
SHARING = [
    Option(
        "visibility", "Who sees it: private, group, everyone.", one_of(Visibility), "VISIBILITY"
    ),
    Option("group", "The group, with --visibility group.", metavar="GROUP"),
    Option("owner_group", "A group of yours that is to own it with you.", metavar="GROUP"),
]

_BY_NAME = {one.name: one for one in [*SCHEDULE, *RESOURCES, *POLICY]}
#: Flag → field of the wire type, where they differ.
_FIELDS = {
    "schedule": "cron",
    "every": "every_s",
    "on_data": "dataset",
    "follow": "version",
    "catch_up_window": "catch_up_window_s",
    "retry_delay": "retry_delay_s",
}
_KINDS = ("schedule", "every", "after", "on_data")
_ANY_KIND = "--schedule, --every, --after or --on-data"


def schedule_of(
    settings: Settings,
    *,
    ids: Callable[[Sequence[str]], list[str]],
    current: Schedule | None = None,
) -> Schedule | None:
    """Make the schedule that ``settings`` ask for, ``current`` where they say nothing.

    ``None`` when they say nothing of it at all. ``ids`` finds jobs by their names. Raises
    ``JobError`` for flags that do not go together.
    """
    given = _given(settings, [*SCHEDULE])
    values = settings.get("parameters")
    if not given and values is None:
        return None
    kind = _kind(given, current)
    fields = _schedule_fields(current) if current else {}
    if any(one in given for one in _KINDS):
        for one in ("cron", "every_s", "after", "dataset", *_only_with(kind)):
            fields.pop(one, None)
    for name, value in given.items():
        fields[_FIELDS.get(name, name)] = None if value == NONE else value
    if "after" in given:
        fields["after"] = ids(given["after"])
    if values is not None:
        fields["parameters"] = {**fields.get("parameters", {}), **values}
    return _fitted(Schedule, fields)


def changes(wanted: Schedule | None, current: Schedule | None) -> Schedule | None:
    """Return what ``wanted`` has otherwise than ``current``, and nothing else set."""
    if wanted is None or current is None:
        return wanted
    names = Schedule.model_fields
    differing = {one for one in names if getattr(wanted, one) != getattr(current, one)}
    return Schedule.model_validate(wanted.model_dump(include=differing)) if differing else None


def _schedule_fields(current: Schedule) -> dict[str, Any]:
    """Return what a schedule says, without its state."""
    return current.model_dump(include=set(Schedule.model_fields))


def resources_of(settings: Settings) -> Resources | None:
    """Make the limits that ``settings`` ask for; only these are set."""
    return _changed(Resources, settings, RESOURCES, None)


def policy_of(settings: Settings, *, current: Policy | None = None) -> Policy | None:
    """Make the policy that ``settings`` ask for, ``current`` where they say nothing.

    Without ``current`` only what they ask for is set.
    """
    return _changed(Policy, settings, POLICY, current)


def in_words(schedule: ScheduleState | None) -> str:
    """Say when a schedule is due, in few words."""
    if schedule is None:
        return ""
    if schedule.cron is not None:
        said = f"{schedule.cron} {schedule.timezone}"
    elif schedule.every_s is not None:
        said = f"every {duration(schedule.every_s)}"
    elif schedule.dataset is not None:
        said = f"on data {schedule.dataset}"
    else:
        known = sorted(schedule.after_names.get(one, "~") for one in schedule.after)
        said = f"after {', '.join(one.replace('~', 'another job') for one in known)}"
        if schedule.rule is not AfterRule.all_success:
            said += f" ({schedule.rule.value})"
    return f"{said}, paused" if schedule.paused else said


def given_only(**fields: Any) -> dict[str, Any]:
    """Return the fields that are not ``None``, so that a message has its defaults."""
    return {name: value for name, value in fields.items() if value is not None}


def _given(settings: Settings, options: Sequence[Option]) -> dict[str, Any]:
    """Return what was said, read as a line's text would be."""
    said = {one.name: cast("dict[str, Any]", settings).get(one.name) for one in options}
    return {
        name: _BY_NAME[name].read(value) if isinstance(value, str) else value
        for name, value in said.items()
        if value is not None
    }


def _kind(given: Mapping[str, Any], current: Schedule | None) -> str:
    kinds = [one for one in _KINDS if one in given]
    if len(kinds) > 1:
        both = " and ".join(_BY_NAME[one].flag for one in kinds[:2])
        raise JobError(f"{both} exclude each other: a job has one of {_ANY_KIND}.")
    if not kinds and current is None:
        first = _BY_NAME[next(iter(given))].flag if given else "--param"
        raise JobError(f"{first} is for scheduled runs: add {_ANY_KIND}.")
    kind = kinds[0] if kinds else next(one for one in _KINDS if _has(current, one))
    for flag, wanted in (("timezone", "schedule"), ("rule", "after")):
        if flag in given and kind != wanted:
            raise JobError(f"--{flag} goes with --{wanted}.")
    return kind


def _has(schedule: Schedule | None, kind: str) -> bool:
    return bool(getattr(schedule, _FIELDS.get(kind, kind)))


def _only_with(kind: str) -> list[str]:
    """Name the fields that another kind of schedule left behind."""
    kept = {"schedule": "timezone", "after": "rule"}.get(kind)
    return [one for one in ("timezone", "rule") if one != kept]


def _changed(
    model: type[M], settings: Settings, options: Sequence[Option], current: M | None
) -> M | None:
    given = _given(settings, options)
    if not given:
        return None
    fields = current.model_dump() if current else {}
    for name, value in given.items():
        fields[_FIELDS.get(name, name)] = None if value == NONE else value
    return _fitted(model, fields)


def _fitted(model: type[M], fields: Mapping[str, Any]) -> M:
    """Make the message; a value that does not fit is told by its flag."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        found = first_fault(error)
        flags = {_FIELDS.get(name, name): one.flag for name, one in _BY_NAME.items()}
        said = found.detail.replace(f"'{found.field}'", flags.get(found.field or "", "A value"))
        raise JobError(f"{said} {found.fix or ''}".strip()) from None

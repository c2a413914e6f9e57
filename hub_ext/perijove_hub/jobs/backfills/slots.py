"""The instants of a range of slots, and what they are as text in the range's time zone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from perijove.exceptions import ParameterError
from perijove.runner.values import check, from_text
from perijove.types.backfills import Every, Slots
from perijove.types.jobs import Parameter, ParameterType
from perijove_hub.exceptions import Invalid
from perijove_hub.jobs import schedule
from perijove_hub.store.models import ScheduleRow

#: Years that calendars, zones and databases agree on.
_YEARS = (1900, 2200)
#: Enough to look back so that a clock change just before the start is known to the rule.
_BEFORE = timedelta(days=2)
_FORMATS = "aAbBcdGHIjmMpSuUVwWxXyYzZf%"
_TAKEN = {
    "date": {ParameterType.date, ParameterType.str, ParameterType.any},
    "datetime": {ParameterType.datetime, ParameterType.str, ParameterType.any},
}
_NOT_TEXT = {ParameterType.secret, ParameterType.list, ParameterType.dict, ParameterType.bool}


def zone_of(wanted: Slots, scheduled: ScheduleRow | None) -> str:
    """Return the time zone of a range: its own, the schedule's, or UTC."""
    return wanted.timezone or (scheduled.timezone if scheduled and scheduled.cron else "UTC")


def instants(wanted: Slots, scheduled: ScheduleRow | None) -> Iterator[datetime]:
    """Yield the slots of ``wanted`` in UTC and in order, each exactly once.

    Clock times follow the rule of schedules where clocks change. Raises ``Invalid`` for a range
    that is none and for a job without a schedule of its own where one is needed.
    """
    timezone = zone_of(wanted, scheduled)
    schedule.check("0 0 * * *", timezone, field="slots")
    start = _instant(wanted.start, timezone, field="slots.start")
    end = _instant(wanted.end, timezone, field="slots.end")
    if end <= start:
        raise Invalid(
            f"The range ends ({wanted.end.isoformat()}) before it begins, or where it begins.",
            field="slots.end",
            fix="The end is not part of the range: for one day, give the next one.",
        )
    if wanted.cron is not None and wanted.every is not None:
        raise Invalid(
            "A range has either 'cron' or 'every'.", field="slots.every", fix="Leave one out."
        )
    if wanted.cron is not None:
        schedule.check(wanted.cron, timezone, field="slots")
        return _by_clock(wanted.cron, timezone, start, end)
    if wanted.every is Every.day:
        return _daily(timezone, start, end)
    if wanted.every is not None:
        seconds = 3600 if wanted.every is Every.hour else wanted.every
        return _stepped(start, start, end, seconds=seconds)
    return _scheduled(scheduled, timezone, start, end)


def check_bind(bind: Mapping[str, str], declared: Sequence[Parameter]) -> None:
    """Refuse a parameter that cannot get the slot, or a format that is none.

    Raises ``Invalid`` that names the parameter.
    """
    by_name = {one.name: one for one in declared}
    for name, form in bind.items():
        if name not in by_name:
            try:
                check(declared, {name: None})
            except ParameterError as error:
                raise Invalid(str(error), field=f"bind.{name}") from None
        if "%" in form and len(form) <= 100:
            wrong = [one for one in re.findall("%(.?)", form) if one not in _FORMATS or not one]
            if wrong:
                raise Invalid(
                    f"'%{wrong[0]}' is no part of a time format.",
                    field=f"bind.{name}",
                    fix="Write for example %Y-%m-%d, %H:%M or %G-W%V.",
                )
            fits = by_name[name].type not in _NOT_TEXT
        elif form in _TAKEN:
            fits = by_name[name].type in _TAKEN[form]
        else:
            raise Invalid(
                f"'{form[:100]}' is neither 'date' nor 'datetime' nor a time format.",
                field=f"bind.{name}",
                fix="A format has directives such as %Y-%m-%d.",
            )
        if not fits:
            raise Invalid(
                f"Parameter '{name}' is a {by_name[name].type.value}, which cannot be '{form}'.",
                field=f"bind.{name}",
                fix="Bind a parameter that is a date, datetime or text.",
            )


def bound(
    slot: datetime, timezone: str, bind: Mapping[str, str], declared: Sequence[Parameter]
) -> dict[str, Any]:
    """Return what the parameters in ``bind`` get for ``slot``; raises ``Invalid``."""
    local = slot.astimezone(ZoneInfo(timezone))
    texts = {name: _text(local, form) for name, form in bind.items()}
    try:
        return check([one for one in declared if one.name in bind], from_text(declared, texts))
    except ParameterError as error:
        raise Invalid(str(error), field=f"bind.{error.name}") from None


def _text(local: datetime, form: str) -> str:
    match form:
        case "date":
            return local.date().isoformat()
        case "datetime":
            return local.isoformat()
        case _:
            return local.strftime(form)


def _instant(given: datetime, timezone: str, *, field: str) -> datetime:
    if not _YEARS[0] <= given.year <= _YEARS[1]:
        raise Invalid(
            f"The year {given.year} is out of range.",
            field=field,
            fix=f"Years from {_YEARS[0]} to {_YEARS[1]} can be run for.",
        )
    local = given if given.tzinfo else given.replace(tzinfo=ZoneInfo(timezone))
    return local.astimezone(UTC)


def _by_clock(cron: str, timezone: str, start: datetime, end: datetime) -> Iterator[datetime]:
    for slot in schedule.slots(cron, timezone, start - _BEFORE):
        if slot >= end:
            return
        if slot >= start:
            yield slot


def _daily(timezone: str, start: datetime, end: datetime) -> Iterator[datetime]:
    local = start.astimezone(ZoneInfo(timezone))
    if local.second or local.microsecond:
        raise Invalid(
            f"Days are counted by clock times of full minutes, not {local:%H:%M:%S}.",
            field="slots.start",
            fix="Let the range begin on a full minute, or take 86400 seconds as the step.",
        )
    return _by_clock(f"{local.minute} {local.hour} * * *", timezone, start, end)


def _stepped(
    anchor: datetime, start: datetime, end: datetime, *, seconds: int
) -> Iterator[datetime]:
    step = timedelta(seconds=seconds)
    slot = anchor - (anchor - start) // step * step
    while slot < end:
        yield slot
        slot += step


def _scheduled(
    scheduled: ScheduleRow | None, timezone: str, start: datetime, end: datetime
) -> Iterator[datetime]:
    if scheduled is not None and scheduled.cron is not None:
        return _by_clock(scheduled.cron, timezone, start, end)
    if scheduled is not None and scheduled.every_s is not None and scheduled.anchor is not None:
        return _stepped(scheduled.anchor, start, end, seconds=scheduled.every_s)
    raise Invalid(
        "The job has no schedule with slots of its own.",
        field="slots",
        fix="Say which slots are meant: 'every' (day, hour or seconds), or 'cron'.",
    )

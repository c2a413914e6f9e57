"""The values of a parameter's range."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from perijove.types.backfills import LARGEST, Range
from perijove.types.jobs import Parameter, ParameterType
from perijove_hub.exceptions import Invalid

_NUMBERS = (ParameterType.int, ParameterType.float, ParameterType.any)


def values(wanted: Range, parameter: Parameter) -> Iterator[Any]:
    """Yield the values of ``wanted`` in order; their types are not checked here.

    Numbers are counted in decimals, so that 0 to 1 by 0.1 has ten. Raises ``Invalid``.
    """
    if wanted.start is None and wanted.stop is None:
        if not wanted.values:
            raise Invalid(
                "The range is empty.",
                field="range.values",
                fix="Give 'values', or 'start' and 'stop'.",
            )
        return iter(wanted.values)
    if wanted.values:
        raise Invalid(
            "A range has either 'values' or 'start' and 'stop'.",
            field="range.values",
            fix="Leave one out.",
        )
    if wanted.start is None or wanted.stop is None:
        missing = "start" if wanted.start is None else "stop"
        raise Invalid(f"A range needs '{missing}'.", field=f"range.{missing}", fix="Give both.")
    if wanted.step == 0 or not math.isfinite(wanted.step):
        raise Invalid(
            f"A step of {wanted.step} leads nowhere.", field="range.step", fix="Take 1, or -1."
        )
    if parameter.type in _NUMBERS:
        return _numbers(wanted, parameter)
    if parameter.type is ParameterType.date:
        return _dates(wanted)
    raise Invalid(
        f"Parameter '{parameter.name}' is a {parameter.type.value}, which cannot be counted.",
        field="range.start",
        fix="Give its 'values' instead.",
    )


def _numbers(wanted: Range, parameter: Parameter) -> Iterator[Any]:
    whole = parameter.type is ParameterType.int
    found = []
    for field in ("start", "stop", "step"):
        given = getattr(wanted, field)
        number = None if isinstance(given, str) else Decimal(str(given))
        if number is None or not number.is_finite() or (whole and number != int(number)):
            kind = "a whole number" if whole else "a number"
            raise Invalid(
                f"The {field} of a range of '{parameter.name}' must be {kind}, not {given!r}.",
                field=f"range.{field}",
                fix=f"Give {kind}.",
            )
        found.append(number)
    return _counted(*found, whole=whole or all(one == int(one) for one in found))


def _counted(start: Decimal, stop: Decimal, step: Decimal, *, whole: bool) -> Iterator[Any]:
    # Whoever takes them stops at the first one too many.
    for index in range(LARGEST + 1):
        number = start + index * step
        if (number >= stop) if step > 0 else (number <= stop):
            return
        yield int(number) if whole else float(number)


def _dates(wanted: Range) -> Iterator[str]:
    first, last = _date(wanted.start, "start"), _date(wanted.stop, "stop")
    if wanted.step != int(wanted.step):
        raise Invalid(
            f"The step of a range of dates is a number of days, not {wanted.step}.",
            field="range.step",
            fix="Give a whole number.",
        )
    step = int(wanted.step)
    days = range(first.toordinal(), last.toordinal(), step)
    return ((first + timedelta(days=day - first.toordinal())).isoformat() for day in days)


def _date(given: Any, field: str) -> date:
    try:
        return date.fromisoformat(given)
    except (TypeError, ValueError):
        raise Invalid(
            f"The {field} of a range of dates must be a date, not {given!r}.",
            field=f"range.{field}",
            fix="Write it as 2026-01-31.",
        ) from None

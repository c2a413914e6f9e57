"""Check and convert the values a run is given, before anything starts."""

from __future__ import annotations

import ast
import difflib
import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from perijove.exceptions import ParameterError
from perijove.types import secrets
from perijove.types.jobs import Parameter, ParameterType

_SHOULD_BE = {
    ParameterType.int: "a whole number",
    ParameterType.float: "a number",
    ParameterType.bool: "true or false",
    ParameterType.str: "text",
    ParameterType.date: "a date such as 2026-01-31",
    ParameterType.datetime: "a time such as 2026-01-31T08:00:00",
    ParameterType.list: "a list",
    ParameterType.dict: "an object",
    ParameterType.secret: "the name of a secret, such as API_KEY",
}


def check(parameters: Sequence[Parameter], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a run as JSON carries them: dates as ISO text, whole floats as float.

    Raises ``ParameterError`` for a name the notebook does not declare, a missing required one,
    or a value that does not fit.
    """
    declared = {parameter.name: parameter for parameter in parameters}
    for name in given:
        if name not in declared:
            raise _unknown(name, parameters)
    for parameter in parameters:
        if parameter.required and parameter.name not in given:
            raise ParameterError(
                parameter.name,
                f"Parameter '{parameter.name}' has no default, so every run must give it: "
                f"{_wanted(parameter)}.",
            )
    return {name: fit(declared[name], value) for name, value in given.items()}


def from_text(parameters: Sequence[Parameter], given: Mapping[str, Any]) -> dict[str, Any]:
    """Convert values typed on a command line, such as ``"2.0"``, by their declared types.

    Values that are not text stay as they are. Raises ``ParameterError``.
    """
    declared = {parameter.name: parameter for parameter in parameters}
    return {
        name: _convert(declared[name], value)
        if isinstance(value, str) and name in declared
        else value
        for name, value in given.items()
    }


def _unknown(name: str, parameters: Sequence[Parameter]) -> ParameterError:
    if not parameters:
        return ParameterError(
            name,
            f"There is no parameter '{name}': the notebook declares none. "
            "Tag the cell with their defaults 'parameters' and promote it again.",
        )
    near = difflib.get_close_matches(name, [parameter.name for parameter in parameters], n=1)
    lower = {parameter.name.lower(): parameter.name for parameter in parameters}
    nearest = lower.get(name.lower()) or (near[0] if near else None)
    names = ", ".join(parameter.name for parameter in parameters)
    hint = f"Did you mean '{nearest}'?" if nearest else f"It has: {names}."
    return ParameterError(name, f"There is no parameter '{name}'. {hint}")


def _wanted(parameter: Parameter) -> str:
    if parameter.type is ParameterType.choice:
        return "one of " + ", ".join(json.dumps(choice) for choice in parameter.choices)
    wanted = _SHOULD_BE.get(parameter.type, "any value")
    return f"{wanted} or null" if parameter.nullable else wanted


def _wrong(parameter: Parameter, value: Any) -> ParameterError:
    try:
        shown = repr(value)
    except ValueError:  # an int of thousands of digits
        shown = "that"
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    if parameter.type is ParameterType.secret:
        # Perhaps the value itself, which belongs into no message.
        shown = "that"
    name = parameter.name
    return ParameterError(name, f"Parameter '{name}' must be {_wanted(parameter)}, not {shown}.")


def fit(parameter: Parameter, value: Any) -> Any:
    """Return ``value`` as JSON carries it; raises ``ParameterError`` when it is of another type."""
    if value is None and (parameter.nullable or parameter.type is ParameterType.any):
        return None
    try:
        fitted = _of_type(parameter, value)
        # Also refuses what no database or JSON carries: NaN, lone surrogates, other types.
        json.dumps(fitted, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, TypeError, RecursionError):
        raise _wrong(parameter, value) from None
    return fitted


def _of_type(parameter: Parameter, value: Any) -> Any:
    match parameter.type:
        case ParameterType.any:
            return value
        case ParameterType.choice:
            # 1 == True in Python, and a form must not turn one into the other.
            if any(type(value) is type(one) and value == one for one in parameter.choices):
                return value
        case ParameterType.bool:
            if isinstance(value, bool):
                return value
        case ParameterType.int:
            if isinstance(value, int) and not isinstance(value, bool):
                return value
        case ParameterType.float:
            if isinstance(value, int | float) and not isinstance(value, bool):
                return _finite(value)
        case ParameterType.str:
            if isinstance(value, str):
                return value
        case ParameterType.list:
            if isinstance(value, list | tuple):
                return list(value)
        case ParameterType.dict:
            if isinstance(value, dict) and all(isinstance(key, str) for key in value):
                return value
        case ParameterType.secret:
            if isinstance(value, str) and re.fullmatch(secrets.PATTERN, value):
                return value
        case ParameterType.date:
            return _date(value)
        case ParameterType.datetime:
            if isinstance(value, datetime):
                return value.isoformat()
            return datetime.fromisoformat(value).isoformat()
    raise ValueError


def _finite(value: float) -> float:
    try:
        number = float(value)
    except OverflowError:
        raise ValueError from None
    if not math.isfinite(number):
        raise ValueError
    return number


def _date(value: Any) -> str:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    return date.fromisoformat(value).isoformat()


def _convert(parameter: Parameter, text: str) -> Any:
    if text in ("null", "None") and parameter.nullable:
        return None
    try:
        return _read(parameter, text)
    except (ValueError, KeyError, StopIteration):
        raise _wrong(parameter, text) from None


def _read(parameter: Parameter, text: str) -> Any:
    match parameter.type:
        case ParameterType.int:
            return int(text)
        case ParameterType.float:
            return float(text)
        case ParameterType.bool:
            return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[
                text.lower()
            ]
        case ParameterType.choice:
            return next(one for one in parameter.choices if str(one) == text)
        case ParameterType.list | ParameterType.dict | ParameterType.any:
            return _structure(text, strict=parameter.type is not ParameterType.any)
        case _:
            return text


def _structure(text: str, *, strict: bool) -> Any:
    """Read JSON, or Python's way of writing it; plain text where that is allowed."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        if strict:
            raise ValueError from None
        return text

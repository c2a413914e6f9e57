"""Say in a sentence what is wrong with a message that does not fit its type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from perijove.types.base import NAME_PATTERN, NAME_RULE, Problem
from perijove.types.images import APT_PATTERN, CONDA_PATTERN, REFERENCE_PATTERN
from perijove.types.secrets import PATTERN as SECRET_PATTERN
from perijove.types.secrets import RULE as SECRET_RULE

if TYPE_CHECKING:
    from pydantic import ValidationError

#: Where FastAPI found a value; people know it without being told.
_PLACES = ("body", "query", "path", "header")
#: What patterns mean to a person.
_RULES = {
    NAME_PATTERN: NAME_RULE,
    REFERENCE_PATTERN: "the name of an image, NAME or NAME@VERSION",
    SECRET_PATTERN: f"a name of a secret: {SECRET_RULE}",
    APT_PATTERN: "Debian's name of a package, NAME or NAME=VERSION",
    CONDA_PATTERN: "conda's name of a package, NAME or NAME=VERSION",
}


def fault(error: Mapping[str, Any]) -> Problem:
    """Make a problem of one of pydantic's errors: field, value unless it is large, and fix."""
    location = list(error["loc"])
    if location and location[0] in _PLACES:
        location.pop(0)
    field = ".".join(map(str, location))
    named = f"'{field}'" if field else "The request"
    detail, fix = f"{named} is wrong: {error['msg'][:1].lower()}{error['msg'][1:]}", None
    match error["type"]:
        case "missing":
            detail = f"{named} is missing." if field else "The request has no body."
        case "extra_forbidden":
            detail = f"There is no field {named}."
        case "string_pattern_mismatch" if error["ctx"]["pattern"] in _RULES:
            value = _value(error)
            detail = f"{named} cannot be {value}." if value else f"{named} is no name."
            fix = f"Use {_RULES[error['ctx']['pattern']]}."
        case _:
            value = _value(error)
            detail += f", not {value}." if value else "."
            fix = error.get("ctx", {}).get("fix")
    return Problem(title="Invalid request", status=422, detail=detail, field=field or None, fix=fix)


def first_fault(error: ValidationError) -> Problem:
    """Make a problem of the first thing that is wrong."""
    return fault(error.errors(include_url=False)[0])


def _value(error: Mapping[str, Any]) -> str:
    """Repeat a short value, so that a typing error shows."""
    value = error.get("input")
    plain = value is None or isinstance(value, bool | int | float | str)
    if not plain or (isinstance(value, int) and abs(value) >= 10**60):
        return ""
    shown = repr(value)
    return shown if len(shown) <= 60 else ""

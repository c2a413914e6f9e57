"""Turn the values of one column into the array its signature asks for, or say which is wrong.

The types and their meanings are MLflow's (``mlflow.types.DataType``): what comes out is what
``mlflow.pyfunc`` would have made of the same values, so that it need not look again.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from perijove.replica.exceptions import BadRequest

Array = npt.NDArray[Any]

_JSON_NAMES: dict[type, str] = {
    type(None): "null",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "an object",
}


class _Wrong(Exception):
    """A value at ``row`` is not what was asked for."""

    def __init__(self, row: int, found: str) -> None:
        super().__init__(found)
        self.row = row
        self.found = found


@dataclass(frozen=True)
class Column:
    """One input of a signature that a table has a column for."""

    name: str
    type: str
    required: bool

    def read(self, values: Sequence[Any]) -> Array | list[Any]:
        """Convert ``values``; raises ``BadRequest`` with the first row at fault."""
        reader, expected = _READERS[self.type]
        try:
            return reader(values, self.required)
        except _Wrong as wrong:
            raise self.wrong(wrong.row, wrong.found, expected) from None

    def wrong(self, row: int, found: str, expected: str | None = None) -> BadRequest:
        """Build the error for ``row`` (from 0), where ``found`` stands."""
        expected = expected or _READERS[self.type][1]
        fix = None
        if found in ("null", "NaN"):
            fix = "This column had no missing values in training: leave the row out, or fill it."
        return BadRequest(
            f"Column '{self.name}', row {row}: expected {expected}, found {found}.",
            field=f"[{row}].{self.name}",
            fix=fix,
        )

    def parse(self, texts: Sequence[str]) -> list[Any]:
        """Convert a CSV column's ``texts``, of which an empty one is a missing value."""
        parser = _TEXT[self.type]
        values: list[Any] = []
        for row, text in enumerate(texts):
            try:
                values.append(parser(text) if text else None)
            except ValueError:
                raise self.wrong(row, "text") from None
        return values


def number_type(types: Sequence[str]) -> npt.DTypeLike | None:
    """Return the dtype all columns share when every one is a floating-point number."""
    if set(types) == {"double"}:
        return np.float64
    return np.float32 if set(types) == {"float"} else None


def known(kind: str) -> bool:
    """Tell whether there is a reader for MLflow's type ``kind``."""
    return kind in _READERS


def _name(value: object) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "infinity"
    return _JSON_NAMES.get(type(value), "something else")


def _check(values: Sequence[Any], allowed: frozenset[type], required: bool) -> bool:
    """Check the types of ``values``; returns whether any is missing."""
    found = set(map(type, values))
    if found <= allowed:
        return False
    missing = type(None) in found
    if missing and not required and found - {type(None)} <= allowed:
        return True
    for row, value in enumerate(values):
        if type(value) not in allowed and not (value is None and not required):
            raise _Wrong(row, _name(value))
    return missing


_NUMBERS = frozenset({int, float})


def _floats(values: Sequence[Any], required: bool, dtype: npt.DTypeLike) -> Array:
    _check(values, _NUMBERS, required)
    with np.errstate(over="ignore"):
        array = np.array(values, dtype=dtype)
    finite = np.isfinite(array)
    if not finite.all():
        for row in np.flatnonzero(~finite).tolist():
            value = values[row]
            missing = value is None or (isinstance(value, float) and math.isnan(value))
            if missing and not required:
                continue
            raise _Wrong(row, _name(value) if missing else "a number out of range")
    return array


def _double(values: Sequence[Any], required: bool) -> Array:
    return _floats(values, required, np.float64)


def _float(values: Sequence[Any], required: bool) -> Array:
    return _floats(values, required, np.float32)


def _integers(values: Sequence[Any], dtype: npt.DTypeLike) -> Array:
    # A missing value has no place in an array of integers: MLflow refuses it even where the
    # signature says it is optional.
    _check(values, _NUMBERS, True)
    limits = np.iinfo(np.dtype(dtype))
    for row, value in enumerate(values):
        if isinstance(value, float) and not value.is_integer():
            raise _Wrong(row, _name(value) if not math.isfinite(value) else "a fraction")
        if not limits.min <= value <= limits.max:
            raise _Wrong(row, "a number out of range")
    return np.array([int(value) for value in values], dtype=dtype)


def _long(values: Sequence[Any], required: bool) -> Array:
    return _integers(values, np.int64)


def _integer(values: Sequence[Any], required: bool) -> Array:
    return _integers(values, np.int32)


def _boolean(values: Sequence[Any], required: bool) -> Array:
    missing = _check(values, frozenset({bool}), required)
    return np.array(values, dtype=object if missing else np.bool_)


def _string(values: Sequence[Any], required: bool) -> list[Any]:
    _check(values, frozenset({str}), required)
    # A list, so that pandas chooses the dtype it chooses everywhere: pandas 3 has a new one.
    return list(values)


def _binary(values: Sequence[Any], required: bool) -> Array:
    _check(values, frozenset({str}), required)
    array = np.empty(len(values), dtype=object)
    for row, value in enumerate(values):
        try:
            if value is not None:
                # With line breaks, as MLflow's own encoder writes it.
                array[row] = base64.b64decode("".join(value.split()), validate=True)
        except (binascii.Error, ValueError):
            raise _Wrong(row, "text that is not base64") from None
    return array


def _datetime(values: Sequence[Any], required: bool) -> Array:
    import pandas as pd

    _check(values, frozenset({str}), required)
    array = np.empty(len(values), dtype="datetime64[ns]")
    for row, value in enumerate(values):
        if value is None:
            array[row] = np.datetime64("NaT")
            continue
        try:
            instant = pd.Timestamp(value)
            if instant.tzinfo is not None:
                raise _Wrong(row, "an instant with a time zone")
            array[row] = instant.as_unit("ns").to_datetime64()
        except ValueError:
            raise _Wrong(row, "text that is no date") from None
    return array


Reader = Callable[[Sequence[Any], bool], Array | list[Any]]

_READERS: dict[str, tuple[Reader, str]] = {
    "double": (_double, "a number"),
    "float": (_float, "a number"),
    "long": (_long, "a whole number"),
    "integer": (_integer, "a whole number"),
    "boolean": (_boolean, "true or false"),
    "string": (_string, "text"),
    "binary": (_binary, "base64 text"),
    "datetime": (_datetime, "an ISO 8601 date and time without a time zone"),
}


def _truth(text: str) -> bool:
    try:
        return {"true": True, "false": False}[text.strip().lower()]
    except KeyError:
        raise ValueError(text) from None


_TEXT: dict[str, Callable[[str], Any]] = {
    "double": float,
    "float": float,
    "long": int,
    "integer": int,
    "boolean": _truth,
    "string": str,
    "binary": str,
    "datetime": str,
}

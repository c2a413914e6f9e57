"""Read scoring requests for models whose signature is a table of plain columns.

The signature is compiled once, when the model loads; each request is then checked while it
is converted, and becomes one DataFrame with exactly the signature's columns and types.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd

from perijove.replica.columns import Column, number_type
from perijove.replica.exceptions import BadRequest

_NUMBERS = frozenset({int, float})


class TableReader:
    """Turns each of MLflow's input forms into a DataFrame.

    ``columns`` without names are numbered: requests then go by position.
    """

    def __init__(self, columns: Sequence[Column], *, named: bool) -> None:
        self._columns = list(columns)
        self._named = named
        self._names = [column.name for column in columns]
        self._known = set(self._names)
        self._required = {column.name for column in columns if column.required}
        self._index = pd.Index(self._names) if named else pd.RangeIndex(len(self._names))
        # Rows of one floating-point type become one block, with no look at single columns.
        self._dtype = (
            number_type([column.type for column in columns])
            if len(self._required) == len(self._columns)
            else None
        )

    def read(self, form: str, data: Any) -> pd.DataFrame:
        """Convert ``data``, given under the key ``form``; raises ``BadRequest``."""
        if form == "dataframe_split":
            return self._split(data)
        if form == "dataframe_records":
            return self._records(data, form)
        if isinstance(data, list):
            return self._list(data, form)
        if form == "inputs" and isinstance(data, dict):
            return self._by_column(data)
        raise BadRequest(f"'{form}' must be a list.", field=form)

    def read_csv(self, text: str) -> pd.DataFrame:
        """Convert CSV with a header line; an empty field is a missing value."""
        rows = list(csv.reader(io.StringIO(text)))
        if not rows:
            raise BadRequest("The CSV has no header line.", fix="Send the columns' names first.")
        names, body = rows[0], [row for row in rows[1:] if row]
        if not self._named:
            names = self._names[: len(names)]
        self._check_names(names, "header")
        _check_lengths(body, len(names), "csv")
        by_name = dict(zip(names, zip(*body, strict=True), strict=True)) if body else {}
        present = [column for column in self._columns if column.name in by_name]
        return self._frame({column.name: column.parse(by_name[column.name]) for column in present})

    def _split(self, data: Any) -> pd.DataFrame:
        form = "dataframe_split"
        if not isinstance(data, dict):
            raise BadRequest(f"'{form}' must be an object with 'columns' and 'data'.", field=form)
        if unknown := set(data) - {"columns", "data", "index"}:
            raise BadRequest(
                f"'{form}' has an unknown key '{min(unknown)}'.",
                field=f"{form}.{min(unknown)}",
                fix="Its keys are 'columns', 'data' and, if need be, 'index'.",
            )
        names: Any = data.get("columns") if self._named else self._names
        if not _is_list_of(names, str):
            raise BadRequest(
                f"'{form}.columns' must be the list of the columns' names.",
                field=f"{form}.columns",
                fix=f"The model's columns: {self._listed()}.",
            )
        frame = self._rows(data.get("data"), names, form)
        if (index := data.get("index")) is not None:
            if not isinstance(index, list) or len(index) != len(frame):
                raise BadRequest(
                    f"'{form}.index' must have one entry for each row.", field=f"{form}.index"
                )
            frame.index = pd.Index(index)
        return frame

    def _rows(self, rows: Any, names: Sequence[str], form: str) -> pd.DataFrame:
        """Convert row-major values whose columns are ``names``, in any order."""
        if not _is_list_of(rows, list):
            raise BadRequest(f"'{form}' must hold a list of rows, each a list.", field=form)
        if names != self._names:
            self._check_names(names, form)
        _check_lengths(rows, len(names), form)
        if self._dtype is not None and (block := self._block(rows)) is not None:
            if names == self._names:
                return pd.DataFrame(block, columns=self._index, copy=False)
            order = [names.index(name) for name in self._names]
            return pd.DataFrame(block[:, order], columns=self._index, copy=False)
        return self._frame(dict(zip(names, zip(*rows, strict=True), strict=True)))

    def _block(self, rows: list[list[Any]]) -> np.ndarray[Any, Any] | None:
        """Make one array of all rows, or ``None`` when a closer look is needed."""
        if not set(map(type, chain.from_iterable(rows))) <= _NUMBERS:
            return None
        with np.errstate(over="ignore"):
            block = np.array(rows, dtype=self._dtype)
        return block if np.isfinite(block).all() else None

    def _records(self, data: Any, form: str) -> pd.DataFrame:
        if not _is_list_of(data, dict):
            raise BadRequest(f"'{form}' must be a list of objects, one for each row.", field=form)
        if not self._named:
            raise BadRequest(
                "The model's columns have no names, so rows cannot be objects.",
                field=form,
                fix="Send 'dataframe_split' with 'data' as a list of rows.",
            )
        _check_some(data, form)
        names = list(data[0])
        if names != self._names:
            self._check_names(names, form)
        size = len(names)
        try:
            rows = [[record[name] for name in names] for record in data]
            if any(len(record) != size for record in data):
                raise KeyError
        except KeyError:
            raise self._uneven(data, names, form) from None
        return self._rows(rows, names, form)

    def _uneven(self, data: list[dict[str, Any]], names: list[str], form: str) -> BadRequest:
        """Find the first row whose names are not those of the first row."""
        expected = set(names)
        for row, record in enumerate(data):
            if missing := expected - set(record):
                return BadRequest(
                    f"Row {row} lacks the column '{min(missing)}' that row 0 has.",
                    field=f"{form}[{row}].{min(missing)}",
                )
            if extra := set(record) - expected:
                return BadRequest(
                    f"Row {row} has the column '{min(extra)}' that row 0 lacks.",
                    field=f"{form}[{row}].{min(extra)}",
                )
        return BadRequest("The rows differ in their columns.", field=form)

    def _list(self, data: list[Any], form: str) -> pd.DataFrame:
        """Read ``instances`` or ``inputs`` as TensorFlow Serving has them."""
        _check_some(data, form)
        if isinstance(data[0], dict):
            return self._records(data, form)
        if len(self._columns) == 1 and not isinstance(data[0], list):
            return self._frame({self._names[0]: data})
        if self._named and len(self._columns) > 1:
            raise BadRequest(
                f"Rows in '{form}' must be objects: the model's columns have names.",
                field=form,
                fix=f"Name them in each row: {self._listed()}; or send 'dataframe_split'.",
            )
        return self._rows(data, self._names, form)

    def _by_column(self, data: dict[str, Any]) -> pd.DataFrame:
        self._check_names(list(data), "inputs")
        if not any(isinstance(values, list) for values in data.values()):
            data = {name: [value] for name, value in data.items()}
        for name, values in data.items():
            if not isinstance(values, list):
                raise BadRequest(f"'inputs.{name}' must be a list.", field=f"inputs.{name}")
        lengths = {len(values) for values in data.values()}
        if len(lengths) != 1:
            raise BadRequest("The columns in 'inputs' differ in length.", field="inputs")
        return self._frame(data)

    def _frame(self, values: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
        """Convert column by column, in the signature's order, whatever the order sent."""
        arrays = {}
        for position, column in enumerate(self._columns):
            if column.name in values:
                key = column.name if self._named else position
                arrays[key] = column.read(values[column.name])
        if not arrays or not len(next(iter(arrays.values()))):
            raise _no_rows()
        return pd.DataFrame(arrays)

    def _check_names(self, names: Sequence[str], form: str) -> None:
        given = set(names)
        if missing := [name for name in self._names if name in self._required - given]:
            raise BadRequest(
                f"The column '{missing[0]}' is missing."
                if len(missing) == 1
                else f"{len(missing)} columns are missing: {_some(missing)}.",
                field=f"{form}.{missing[0]}",
                fix=f"The model's columns: {self._listed()}.",
            )
        if unknown := [name for name in names if name not in self._known]:
            raise BadRequest(
                f"The model knows no column '{unknown[0]}'.",
                field=f"{form}.{unknown[0]}",
                fix=f"Leave it out. The model's columns: {self._listed()}.",
            )
        if len(given) != len(names):
            raise BadRequest("A column is named twice.", field=form)

    def _listed(self) -> str:
        return _some([f"{column.name} ({column.type})" for column in self._columns])


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:12])
    return shown if len(names) <= 12 else f"{shown} and {len(names) - 12} more"


def _is_list_of(value: Any, kind: type) -> bool:
    return isinstance(value, list) and set(map(type, value)) <= {kind}


def _no_rows() -> BadRequest:
    return BadRequest("There are no rows to predict.", fix="Send at least one row.")


def _check_some(data: Sequence[Any], form: str) -> None:
    if not data:
        raise BadRequest("There are no rows to predict.", field=form, fix="Send at least one row.")


def _check_lengths(rows: Sequence[Sequence[Any]], size: int, form: str) -> None:
    _check_some(rows, form)
    if set(map(len, rows)) != {size}:
        row = next(number for number, values in enumerate(rows) if len(values) != size)
        raise BadRequest(
            f"Row {row} has {len(rows[row])} values, but there are {size} columns.",
            field=f"{form}[{row}]",
        )

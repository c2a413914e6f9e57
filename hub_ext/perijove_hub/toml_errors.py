"""Explain what is wrong with a settings file: the line, the key, and what to write instead."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

Location = Sequence[str | int]

#: What stands for a name people choose, in ``[catalog.sources.NAME]``.
ANY = "NAME"


def explain(path: Path, text: str, error: ErrorDetails, *, root: type[BaseModel]) -> str:
    """Turn one validation error into ``file:line: key: what is wrong; what to do``.

    A value is shown only where it cannot hold a password: numbers, booleans, fixed choices.
    """
    location = [part for part in error["loc"] if part != "[key]"]
    where = f"{path}:{line_of(text, location)}: {dotted(location)}"
    if error["type"] == "extra_forbidden":
        return f"{where}: unknown key. {_nearest(location, root)}"
    if error["loc"][-1] == "[key]":
        return (
            f"{where}: '{location[-1]}' cannot be a name; use up to 63 lower-case letters, "
            "digits, '.', '_' and '-'."
        )
    if error["type"] in ("model_type", "dict_type"):
        return f"{where}: must be a table, written [{dotted(location)}]."
    if error["type"] == "list_type":
        return f'{where}: must be a list, such as ["…"].'
    message = error["msg"].removeprefix("Value error, ")
    shown = error["input"]
    safe = isinstance(shown, bool | int | float) or error["type"] == "literal_error"
    value = f" (it is {shown!r})" if safe and not isinstance(shown, dict | list) else ""
    return f"{where}: {message[:1].lower()}{message[1:]}{value}."


def line_of(text: str, location: Location) -> int:
    """Find the line on which a key's statement begins; its table's when it is not written out.

    TOML allows dotted and quoted keys, inline tables and values over several lines, so the
    parser itself is asked: the key is on the line with which it first appears.
    """
    lines = text.split("\n")
    found = [1] * len(location)
    seen, start = 0, 1
    for number in range(1, len(lines) + 1):
        try:
            parsed = tomllib.loads("\n".join(lines[:number]) + "\n")
        except tomllib.TOMLDecodeError:
            # Inside a value over several lines.
            continue
        while seen < len(location) and _holds(parsed, location[: seen + 1]):
            found[seen] = start
            seen += 1
        start = number + 1
    return found[seen - 1] if seen else 1


def dotted(location: Location) -> str:
    """Write a key as TOML would."""
    return ".".join(
        str(part) if re.fullmatch(r"[\w-]+", str(part), re.ASCII) else f'"{part}"'
        for part in location
    )


def _holds(parsed: Any, location: Location) -> bool:
    try:
        for part in location:
            parsed = parsed[part]
    except (KeyError, IndexError, TypeError):
        return False
    return True


def _nearest(location: Location, root: type[BaseModel]) -> str:
    """Say which key was probably meant: of the same table, or the table it belongs in."""
    key = str(location[-1])
    keys = dict(_tables(root))
    here = keys.get(_table_of(location[:-1], root), [])
    if near := difflib.get_close_matches(key, here, n=1):
        return f"Did you mean '{near[0]}'?"
    if homes := [table for table, known in keys.items() if key in known]:
        return f"'{key}' belongs in {' or '.join(f'[{table}]' for table in homes)}."
    for table, known in keys.items():
        if near := difflib.get_close_matches(key, known, n=1, cutoff=0.75):
            place = f" in [{table}]" if table else ""
            return f"Did you mean '{near[0]}'{place}?"
    return f"Known here: {', '.join(here)}."


def _tables(section: type[BaseModel], name: str = "") -> Iterator[tuple[str, list[str]]]:
    """List every table with its keys, such as ``("catalog.sources.NAME", ["url", …])``."""
    yield name, sorted(section.model_fields)
    for key, field in section.model_fields.items():
        full = f"{name}.{key}" if name else key
        inner = field.annotation
        if get_origin(inner) is dict:
            inner, full = get_args(inner)[1], f"{full}.{ANY}"
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _tables(inner, full)


def _table_of(location: Location, root: type[BaseModel]) -> str:
    """Name the table at ``location`` as ``_tables`` does."""
    parts: list[str] = []
    tables = {name for name, _ in _tables(root)}
    for part in location:
        exact = ".".join([*parts, str(part)])
        known = exact in tables or any(name.startswith(f"{exact}.") for name in tables)
        parts.append(str(part) if known else ANY)
    return ".".join(parts)

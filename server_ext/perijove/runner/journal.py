"""A run's output as a journal: what came is on disk at once, and whole saves are rare.

Its first line is the notebook as it was then; each further line is one change of it. Whoever
reads a journal must take nothing in it for granted: the notebook's own code can write to it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

NAME = "output.journal"
#: Bytes of changes after which a new journal begins, unless the notebook itself is larger.
LENGTH = 64 * 2**20
#: Seconds until a journal that could not be written is tried again.
AGAIN = 5.0
#: Bytes read at once when a notebook is rebuilt, and most of all of them.
PIECE, MOST = 2**22, 2**30

KILLED = "[The run was killed here. What came in its last second may be missing.]\n"

Cells = list[dict[str, Any]]


def apply(cells: Cells, change: list[Any]) -> None:
    """Change ``cells`` as one line of a journal says.

    Raises ``LookupError``, ``TypeError``, ``ValueError`` or ``AttributeError`` for a change
    that cannot be made.
    """
    what, number, *rest = change
    if not isinstance(number, int) or number < 0:
        raise ValueError(number)
    cell = cells[number]
    match what:
        case "text":
            name, text = rest
            _add_text(cell["outputs"], str(name), str(text))
        case "output":
            cell["outputs"].append(_output(rest[0]))
        case "data":
            at, data, metadata = rest
            cell["outputs"][at].update(data=dict(data), metadata=dict(metadata))
        case "clear":
            cell["outputs"].clear()
        case "count":
            cell["execution_count"] = int(rest[0])
        case "papermill":
            cell["metadata"]["papermill"] = dict(rest[0])


def _add_text(outputs: list[dict[str, Any]], name: str, text: str) -> None:
    if outputs and outputs[-1]["output_type"] == "stream" and outputs[-1]["name"] == name:
        # A list while it grows: joining a long text again and again takes quadratic time.
        outputs[-1].setdefault("pieces", []).append(text)
    else:
        outputs.append({"output_type": "stream", "name": name, "text": text})


def _output(said: Any) -> dict[str, Any]:
    output = dict(said)
    if output["output_type"] not in ("display_data", "execute_result", "error"):
        raise ValueError(output["output_type"])
    return output


def settle(cells: Iterable[dict[str, Any]]) -> None:
    """Join the pieces of texts."""
    for cell in cells:
        for output in cell.get("outputs", ()):
            if "pieces" in output:
                output["text"] += "".join(output.pop("pieces"))


def dump(notebook: dict[str, Any], clean: Callable[[Any], Any]) -> Iterator[str]:
    """Write a notebook as JSON, cell by cell; outputs are clean already.

    Not ``nbformat.writes``: that validates and copies the whole notebook.
    """
    settle(notebook["cells"])
    yield '{"cells": ['
    for number, cell in enumerate(notebook["cells"]):
        written = {
            **cell,
            "source": clean(cell["source"]),
            "metadata": _cleaned(cell["metadata"], clean, without=("papermill",)),
        }
        if "attachments" in cell:
            written["attachments"] = clean(cell["attachments"])
        yield (", " if number else "") + json.dumps(written)
    yield "]"
    for name, value in notebook.items():
        if name == "metadata":
            value = _cleaned(value, clean, without=("kernelspec", "language_info", "widgets"))
        if name != "cells":
            yield f", {json.dumps(name)}: {json.dumps(value)}"
    yield "}"


def _cleaned(
    metadata: dict[str, Any], clean: Callable[[Any], Any], *, without: tuple[str, ...]
) -> dict[str, Any]:
    """Leave what Jupyter must understand, even where a secret is one of its words."""
    return {name: value if name in without else clean(value) for name, value in metadata.items()}


class Journal:
    """Writes a journal. What cannot be written now, say to a full disk, is tried again later."""

    def __init__(self, path: Path, *, clean: Callable[[Any], Any]) -> None:
        self._path = path
        self._clean = clean
        self._file = -1
        self._size = 0
        self._full_at = 0
        self._retry_at = 0.0

    def begin(self, notebook: dict[str, Any]) -> str | None:
        """Begin a new one with ``notebook`` as it is now; return why it could not be written."""
        partial = self._path.with_suffix(".part")
        try:
            with partial.open("w", encoding="ascii") as file:
                file.writelines(dump(notebook, self._clean))
                file.write("\n")
            partial.replace(self._path)
            self._close()
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            self._size = os.fstat(self._file).st_size
        except OSError as error:
            self._retry_at = time.monotonic() + AGAIN
            partial.unlink(missing_ok=True)
            return error.strerror
        self._full_at = self._size + max(LENGTH, self._size)
        return None

    def add(self, line: str) -> str | None:
        """Add a change, already as JSON; return why it could not be written."""
        if self._file < 0:
            return None
        data = f"{line}\n".encode("ascii")
        try:
            written = os.write(self._file, data)
            while written < len(data):
                written += os.write(self._file, data[written:])
        except OSError as error:
            # No half line stays, but what follows is missing: a new one has to begin.
            os.ftruncate(self._file, self._size)
            self._close()
            self._retry_at = time.monotonic() + AGAIN
            return error.strerror
        self._size += len(data)
        return None

    @property
    def wants_to_begin(self) -> bool:
        """Whether it is long enough, or was broken and may be tried again."""
        if self._file < 0:
            return 0 < self._retry_at < time.monotonic()
        return self._size > self._full_at

    def end(self) -> None:
        """Delete it: the notebook itself is saved."""
        self._close()
        self._path.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def rebuild(read: Callable[[int, int], bytes | None], most: int = MOST) -> bytes | None:
    """Make the output notebook of a killed run from its journal.

    ``read(offset, limit)`` reads the journal; at most ``most`` bytes of it are read. Returns
    ``None`` when there is none or its notebook is unreadable; changes that cannot be made are
    left out.
    """
    lines = _lines(read, most)
    try:
        notebook = json.loads(next(lines, b""))
        cells = notebook["cells"]
        if not all(isinstance(cell, dict) for cell in cells):
            return None
        for line in lines:
            try:
                apply(cells, json.loads(line))
            except (LookupError, TypeError, ValueError, AttributeError, RecursionError):
                continue
        _say_killed(cells)
        settle(cells)
        return json.dumps(notebook).encode("ascii")
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError):
        return None


def _lines(read: Callable[[int, int], bytes | None], most: int) -> Iterator[bytes]:
    """Yield whole lines; what follows the last line's end was being written."""
    offset = 0
    begun: list[bytes] = []
    while offset < most:
        piece = read(offset, PIECE)
        if not piece:
            return
        offset += len(piece)
        *whole, rest = piece.split(b"\n")
        if whole:
            yield b"".join([*begun, whole[0]])
            yield from whole[1:]
            begun = []
        begun.append(rest)


def _say_killed(cells: Cells) -> None:
    for number, cell in enumerate(cells):
        metadata = cell.get("metadata", {}).get("papermill", {})
        if metadata.get("status") == "running" and isinstance(cell.get("outputs"), list):
            apply(cells, ["text", number, "stderr", KILLED])

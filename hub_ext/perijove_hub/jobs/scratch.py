"""A run's own folder: notebook and parameters in, events and output notebook out."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from perijove.runner.outcome import Ending, Outcome
from perijove.types.jobs import Progress
from perijove_hub.launch import plain

NOTEBOOK, PARAMETERS = "notebook.ipynb", "parameters.json"
OUTPUT, EVENTS = "output.ipynb", "events.jsonl"

#: Most bytes of an output notebook that are kept.
MAX_OUTPUT = 256 * 2**20
#: Most bytes of events read at once, and of all the events of a run: a notebook of ten thousand
#: cells has two million.
MAX_EVENTS, MOST_EVENTS = 2**20, 16 * 2**20


def prepare(root: Path, name: str, *, notebook: bytes, parameters: dict[str, Any]) -> Path:
    """Make a new folder with a run's input.

    It is a new one each time, so that no second worker writes into one that is in use.
    """
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=root))
    (folder / NOTEBOOK).write_bytes(notebook)
    (folder / PARAMETERS).write_text(json.dumps(parameters), encoding="ascii")
    return folder


def sweep(root: Path, used: Iterable[Path]) -> None:
    """Delete folders that no workload knows: a killed worker prepared them."""
    kept = set(used)
    for folder in root.iterdir() if root.is_dir() else ():
        if folder not in kept:
            plain.delete(folder)


def output(folder: Path) -> bytes | None:
    """Return the output notebook; ``None`` when there is none, or it is too large to keep."""
    content = plain.read(folder / OUTPUT, 0, MAX_OUTPUT + 1)
    return content if content and len(content) <= MAX_OUTPUT else None


class Events:
    """Reads what a runner tells, piece by piece.

    The notebook's own code can write the file too, so nothing in it is taken for granted; how
    a run ended is decided by its exit status.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / EVENTS
        self._offset = 0
        self.progress = Progress()
        self.outcome: Outcome | None = None

    def update(self) -> bool:
        """Read on; tell whether progress has changed."""
        before = self.progress
        while self._offset < MOST_EVENTS:
            content = plain.read(self._path, self._offset, MAX_EVENTS)
            if not content:
                break
            whole, newline, _ = content.rpartition(b"\n")
            if not newline:
                # A line still being written, or one too long to be an event.
                self._offset += len(content) if len(content) == MAX_EVENTS else 0
                break
            self._offset += len(whole) + 1
            for line in whole.split(b"\n"):
                self._take(line)
        return self.progress != before

    def _take(self, line: bytes) -> None:
        try:
            event = json.loads(line)
            match event["event"]:
                case "started":
                    self._progress(cells_total=_number(event["cells_total"]))
                case "cell":
                    self._progress(current_cell=plain.text(event["line"], 255))
                case "done":
                    self._progress(cells_done=_number(event["number"]), current_cell="")
                case "ended":
                    self.outcome = _outcome(event)
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            return

    def _progress(self, **changed: int | str) -> None:
        self.progress = Progress.model_validate(self.progress.model_dump() | changed)


def _outcome(event: dict[str, Any]) -> Outcome:
    cell, line = event.get("cell"), event.get("line")
    return Outcome(
        Ending(event["ending"]),
        cell=_number(cell) if cell is not None else None,
        error=plain.text(event.get("error", ""), 500),
        line=_number(line) if line is not None else None,
    )


def _number(said: Any) -> int:
    """Return a count that a database can hold; raises ``ValueError`` for others."""
    number = int(said)
    if not 0 <= number < 2**31:
        raise ValueError
    return number

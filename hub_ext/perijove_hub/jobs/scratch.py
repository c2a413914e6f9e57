"""A run's own folder: notebook, parameters and inputs in; events, metrics, output and files out.

::

    notebook.ipynb  parameters.json        what is run, with what
    work/                                  the kernel's working directory, inputs in it
    work/inputs/JOB/                       what the run of an upstream job left
    work/outputs/                          what the run leaves
    output.ipynb  events.jsonl  metrics.jsonl
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from perijove.runner.outcome import Ending, Outcome
from perijove.types.jobs import Progress
from perijove_hub.jobs import rebuilt
from perijove_hub.launch import plain

NOTEBOOK, PARAMETERS, WORK = "notebook.ipynb", "parameters.json", "work"
INPUTS, OUTPUTS = "inputs", "outputs"
OUTPUT, EVENTS, METRICS = "output.ipynb", "events.jsonl", "metrics.jsonl"

#: Most bytes of an output notebook that are kept; the runner leaves out what comes on top of a
#: smaller limit, so this one only counts against what spoils the file.
MAX_OUTPUT = 320 * 2**20
#: Most bytes of events read at once, and of all the events of a run: a notebook of ten thousand
#: cells has two million.
MAX_EVENTS, MOST_EVENTS = 2**20, 16 * 2**20
#: Most bytes of a run's metrics: half a million values.
MOST_METRICS = 64 * 2**20
#: Most names of metrics of one run.
MOST_NAMES = 200


def prepare(
    root: Path,
    name: str,
    *,
    notebook: bytes,
    parameters: dict[str, Any],
    files: Iterable[tuple[str, bytes]] = (),
) -> Path:
    """Make a new folder with a run's input; ``files`` are for its working directory, by path.

    It is a new one each time, so that no second worker writes into one that is in use. Raises
    ``OSError``, and ``ValueError`` for a path that leads out of the working directory; then
    nothing is left of it.
    """
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=root))
    try:
        (folder / NOTEBOOK).write_bytes(notebook)
        (folder / PARAMETERS).write_text(json.dumps(parameters), encoding="ascii")
        (folder / WORK).mkdir(mode=0o700)
        for path, content in files:
            _write(folder / WORK, path, content)
    except BaseException:
        plain.delete(folder)
        raise
    return folder


def _write(work: Path, path: str, content: bytes) -> None:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts:
        raise ValueError(f"input file {path!r} is not below the run's folder")
    target = work.joinpath(*parts)
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    target.write_bytes(content)


def sweep(root: Path, used: Iterable[Path]) -> None:
    """Delete folders that no workload knows: a killed worker prepared them."""
    kept = set(used)
    for folder in root.iterdir() if root.is_dir() else ():
        if folder not in kept:
            plain.delete(folder)


def output(folder: Path) -> bytes | None:
    """Return the output notebook; ``None`` when there is none, or it is too large to keep.

    A runner that was killed, or had no room to save it, has left a journal of it.
    """
    content = plain.read(folder / OUTPUT, 0, MAX_OUTPUT + 1)
    if content is None:
        return rebuilt.output(folder, MAX_OUTPUT)
    return content if content and len(content) <= MAX_OUTPUT else None


def events(folder: Path) -> bytes:
    """Return the runner's events as far as they are kept: whole lines."""
    content = plain.read(folder / EVENTS, 0, MOST_EVENTS) or b""
    return content[: content.rfind(b"\n") + 1]


class _Lines:
    """Reads a file of JSON lines piece by piece, up to ``most`` bytes.

    The notebook's own code can write these files too, so nothing in them is taken for granted.
    """

    def __init__(self, path: Path, most: int) -> None:
        self._path = path
        self._most = most
        self._offset = 0

    def _new(self) -> Iterator[Any]:
        """Yield what has been written since the last time; what is no JSON is left out."""
        while self._offset < self._most:
            content = plain.read(self._path, self._offset, MAX_EVENTS)
            if not content:
                return
            whole, newline, _ = content.rpartition(b"\n")
            if not newline:
                # A line still being written, or one too long to be one of ours.
                self._offset += len(content) if len(content) == MAX_EVENTS else 0
                return
            self._offset += len(whole) + 1
            for line in whole.split(b"\n"):
                try:
                    yield json.loads(line)
                except (ValueError, RecursionError):
                    continue


class Events(_Lines):
    """What a runner tells; how a run ended is decided by its exit status."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / EVENTS, MOST_EVENTS)
        self.progress = Progress()
        self.running: int | None = None
        """Index of the cell that runs."""
        self.outcome: Outcome | None = None

    def update(self) -> bool:
        """Read on; tell whether progress has changed."""
        before = self.progress
        for event in self._new():
            self._take(event)
        return self.progress != before

    def _take(self, event: Any) -> None:
        try:
            match event["event"]:
                case "started":
                    self._progress(cells_total=_number(event["cells_total"]))
                case "cell":
                    self._progress(current_cell=plain.text(event["line"], 255))
                    self.running = _number(event["index"])
                case "done":
                    self._progress(cells_done=_number(event["number"]), current_cell="")
                    self.running = None
                case "ended":
                    self.outcome = _outcome(event)
        except (ValueError, TypeError, KeyError, OverflowError):
            return

    def _progress(self, **changed: int | str) -> None:
        self.progress = Progress.model_validate(self.progress.model_dump() | changed)


class Metrics(_Lines):
    """The last value of each metric that a notebook logged, where that is a finite number."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / METRICS, MOST_METRICS)
        self.values: dict[str, float] = {}

    def update(self) -> bool:
        """Read on; tell whether a value has changed."""
        before = dict(self.values)
        for metric in self._new():
            self._take(metric)
        return self.values != before

    def _take(self, metric: Any) -> None:
        try:
            name, value = plain.text(metric["name"], 250), float(metric["value"])
        except (ValueError, TypeError, KeyError, OverflowError):
            return
        if not math.isfinite(value):
            # A loss that ends as NaN is not the good one it was before.
            self.values.pop(name, None)
        elif name in self.values or len(self.values) < MOST_NAMES:
            self.values[name] = value


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

"""What a run leaves behind while it goes: events, output notebook, log."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from perijove.runner.outcome import Outcome

#: Seconds between saves of the output notebook while it runs.
SAVE_EVERY = 3.0
#: Saving may take one part in this many of a run's time.
SAVE_SHARE = 10
REMOVED = "[token removed]"


class Recorder:
    """Writes a run's events, output notebook and log; secrets given to it reach none of them.

    Papermill rewrites the whole notebook 2N+3 times, in place; here a save is one rename, at
    most every ``SAVE_EVERY`` seconds and never more than a tenth of the time.
    """

    def __init__(self, *, output: Path, events: Path, secrets: Sequence[str] = ()) -> None:
        self._output = output
        self._secrets = [secret for secret in secrets if secret]
        # Line-buffered: each event is whole on disk when the next thing happens.
        self._events = events.open("a", encoding="utf-8", buffering=1)
        self._save_at = time.monotonic() + SAVE_EVERY

    def started(self, cells_total: int) -> None:
        """Tell how many cells will run."""
        self._event("started", cells_total=cells_total)

    def cell(self, number: int, total: int, *, index: int, source: str) -> None:
        """Tell that the ``number``-th that runs, the notebook's cell ``index``, runs now."""
        line = next((line.strip() for line in source.splitlines() if line.strip()), "")[:120]
        self._event("cell", number=number, index=index, line=line)
        self.echo(f"[{number}/{total}] {line}\n", end_line=True)

    def cell_done(self, number: int) -> None:
        """Tell that the ``number``-th cell has run."""
        self._event("done", number=number)

    def ended(self, outcome: Outcome, notebook: Mapping[str, Any] | None) -> None:
        """Save a last time, then tell how the run ended."""
        if notebook is not None:
            self.save(notebook)
        self._event("ended", **asdict(outcome))
        self._events.close()

    def echo(self, text: str, *, end_line: bool = False) -> None:
        """Copy output to the log."""
        sys.stdout.write(self._scrub(text))
        if end_line and not text.endswith("\n"):
            sys.stdout.write("\n")
        sys.stdout.flush()

    def save_if_due(self, notebook: Mapping[str, Any]) -> None:
        """Save when the last save is long enough ago."""
        started = time.monotonic()
        if started < self._save_at:
            return
        try:
            self.save(notebook)
        except OSError as error:
            # The last save decides; a disk that is full now need not be so then.
            self.echo(f"The output notebook could not be saved yet: {error.strerror}\n")
        ended = time.monotonic()
        self._save_at = ended + max(SAVE_EVERY, (ended - started) * SAVE_SHARE)

    def save(self, notebook: Mapping[str, Any]) -> None:
        """Write the output notebook in one step."""
        partial = self._output.with_suffix(".part")
        # Ours, not nbformat.writes: that validates and copies the whole notebook each time.
        partial.write_text(self._scrub(json.dumps(notebook)), encoding="ascii")
        partial.replace(self._output)

    def _event(self, name: str, **fields: Any) -> None:
        event = {"event": name, "at": time.time(), **fields}
        self._events.write(self._scrub(json.dumps(event)) + "\n")

    def _scrub(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, REMOVED)
        return text

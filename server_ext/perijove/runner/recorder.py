"""What a run leaves behind while it goes: events, output notebook, log."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from perijove.runner.journal import NAME, Journal, dump
from perijove.runner.outcome import Outcome
from perijove.runner.scrub import Scrubber

_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC


class Recorder:
    """Writes a run's events, output notebook and log; secrets known to it reach none of them.

    Papermill rewrites the whole notebook 2N+3 times, in place. Here every change goes to a
    journal at once, and the notebook is written when the run ends, in one step.
    """

    def __init__(
        self,
        *,
        output: Path,
        events: Path,
        scrubber: Scrubber | None = None,
        log: int | None = 1,
    ) -> None:
        """``log`` is the descriptor that the log goes to, standard output if not given."""
        self.scrubber = scrubber or Scrubber()
        # The notebook's code may remove the folder: a path below it would lead nowhere then.
        self._output = output.absolute()
        self._log = log
        self._journal = Journal(self._output.with_name(NAME), clean=self.scrubber.clean_all)
        self._notebook: dict[str, Any] | None = None
        self._events_path = events.absolute()
        self._events = os.open(self._events_path, _APPEND, 0o644)
        self._told: list[bytes] = []

    def started(self, notebook: dict[str, Any], cells_total: int) -> None:
        """Tell how many cells of ``notebook`` will run; its changes are told from now on."""
        self._event("started", cells_total=cells_total)
        self._notebook = notebook
        self._said(self._journal.begin(notebook))

    def cell(self, number: int, total: int, *, index: int, source: str) -> None:
        """Tell that the ``number``-th that runs, the notebook's cell ``index``, runs now."""
        line = next((line.strip() for line in source.splitlines() if line.strip()), "")
        line = self.scrubber.clean(line)[:120]
        self._event("cell", number=number, index=index, line=line)
        self.echo(f"[{number}/{total}] {line}\n", end_line=True)

    def cell_done(self, number: int) -> None:
        """Tell that the ``number``-th cell has run."""
        self._event("done", number=number)

    def changed(self, line: str) -> None:
        """Keep a change of the notebook that was made: a line of the journal, without secrets."""
        self._said(self._journal.add(line))
        if self._notebook is not None and self._journal.wants_to_begin:
            self._said(self._journal.begin(self._notebook))

    def ended(self, outcome: Outcome, notebook: dict[str, Any] | None) -> None:
        """Save the notebook, then tell how the run ended."""
        if notebook is not None:
            try:
                self.save(notebook)
            except OSError as error:
                # The journal stays: the notebook can be made from it.
                self.echo(f"The output notebook could not be saved: {error.strerror}\n")
            else:
                self._journal.end()
        self._restore_events()
        said = self.scrubber.clean(outcome.error)
        self._event("ended", **{**asdict(outcome), "error": said})
        os.close(self._events)

    def echo(self, text: str, *, end_line: bool = False) -> None:
        """Copy clean output to the log; a disk that is full for it harms nothing else."""
        if end_line and not text.endswith("\n"):
            text += "\n"
        if self._log is None:
            return
        data = memoryview(text.encode(errors="backslashreplace"))
        with suppress(OSError):
            while data:
                data = data[os.write(self._log, data) :]

    def save(self, notebook: dict[str, Any]) -> None:
        """Write the output notebook in one step. Raises ``OSError``."""
        partial = self._output.with_suffix(".part")
        try:
            self._output.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("w", encoding="ascii") as file:
                file.writelines(dump(notebook, self.scrubber.clean_all))
            partial.replace(self._output)
        except OSError:
            # Half a notebook helps nobody, and its room may be what is missing.
            partial.unlink(missing_ok=True)
            raise

    def _restore_events(self) -> None:
        """Write the events again if the notebook's code has removed their file."""
        with suppress(OSError):
            if self._events_path.exists():
                return
            again = os.open(self._events_path, _APPEND, 0o644)
            os.close(self._events)
            self._events = again
            os.write(again, b"".join(self._told))

    def _said(self, trouble: str | None) -> None:
        if trouble is not None:
            self.echo(f"The output could not be kept yet: {trouble}\n")

    def _event(self, name: str, **fields: Any) -> None:
        line = (json.dumps({"event": name, "at": time.time(), **fields}) + "\n").encode()
        self._told.append(line)
        try:
            # Each event is whole on disk when the next thing happens.
            os.write(self._events, line)
        except OSError as error:
            self.echo(f"An event could not be written: {error.strerror}\n")

"""Execute a notebook's cells in a kernel, and know how it ended."""

from __future__ import annotations

import re
import time
from typing import Any

from nbformat import NotebookNode
from papermill.engines import NotebookExecutionManager

from perijove.runner.kernel import (
    FAREWELL,
    Kernel,
    KernelDied,
    KernelMissing,
    Message,
    OutputLost,
)
from perijove.runner.outcome import Ending, Outcome
from perijove.runner.outputs import LIMIT, Outputs
from perijove.runner.parameters import SKIP
from perijove.runner.recorder import Recorder
from perijove.runner.stop import Stop
from perijove.runner.widgets import Widgets

ALLOWED = "raises-exception"
#: Seconds an interrupted cell may take to end.
INTERRUPT_TIMEOUT = 5.0
#: What a SystemExit says that means success.
_WELL = ("", "0", "None")

_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def will_run(cell: NotebookNode) -> bool:
    """Tell whether a cell is one that executes."""
    return (
        cell.cell_type == "code"
        and bool(cell.source.strip())
        and SKIP not in cell.metadata.get("tags", [])
    )


class _Over(Exception):
    """The run cannot go on; ``ending`` says why."""

    def __init__(self, ending: Ending, error: str = "", line: int | None = None) -> None:
        self.ending = ending
        self.error = error
        self.line = line
        super().__init__(ending)


class Execution:
    """One run of a notebook in one kernel; ``book`` keeps papermill's metadata of it."""

    def __init__(
        self,
        book: NotebookExecutionManager,
        kernel: Kernel,
        recorder: Recorder,
        *,
        stop: Stop,
        cell_timeout: float | None = None,
        limit: int | None = None,
    ) -> None:
        self._book = book
        self._notebook: NotebookNode = book.nb
        self._kernel = kernel
        self._recorder = recorder
        self._stop = stop
        self._cell_timeout = cell_timeout
        self._widgets = Widgets(self._notebook, kernel.client)
        self._outputs = Outputs(
            self._notebook.cells, recorder, self._widgets, LIMIT if limit is None else limit
        )
        self._at: int | None = None
        self._deadline: float | None = None
        self._ending: Ending | None = None

    def run(self) -> Outcome:
        """Execute every cell that should run; return how it ended, whatever happens.

        The kernel is asked to end when all went well, and ended else.
        """
        try:
            self._kernel.wait_until_ready(self._look)
            self._notebook.metadata["language_info"] = self._kernel.language_info
            self._run_cells()
            outcome = Outcome(Ending.succeeded)
            self._kernel.farewell()
        except _Over as over:
            outcome = Outcome(over.ending, cell=self._at, error=over.error, line=over.line)
        except KernelMissing as error:
            outcome = Outcome(Ending.no_kernel, error=str(error))
            self._echo_last_words()
        except KernelDied:
            outcome = self._died()
            self._echo_last_words()
        except OutputLost:
            text = "A cell's output did not arrive in time"
            outcome = Outcome(Ending.output_lost, cell=self._at, error=text)
        state = self._widgets.state()
        if state is not None:
            self._notebook.metadata["widgets"] = self._recorder.scrubber.clean_all(state)
        return outcome

    def leave(self, outcome: Outcome) -> None:
        """End the kernel; after a success it may take the time to send what it has."""
        well = outcome.ending is Ending.succeeded
        if self._kernel.close(wait=FAREWELL if well else 0.0) and well:
            said = (
                f"[The kernel was killed: it did not end in {FAREWELL:g} s, for a thread perhaps]"
            )
            self._recorder.echo(said, end_line=True)

    def _run_cells(self) -> None:
        cells = [(at, cell) for at, cell in enumerate(self._notebook.cells) if will_run(cell)]
        self._recorder.started(self._notebook, len(cells))
        for number, (at, cell) in enumerate(cells, 1):
            if self._stop.asked:
                raise _Over(Ending.terminated)
            self._at = at
            self._recorder.cell(number, len(cells), index=at, source=cell.source)
            self._run_cell(cell, at, last=number == len(cells))
            self._recorder.cell_done(number)
            # Whoever ends the run now ends no cell.
            self._at = None

    def _run_cell(self, cell: NotebookNode, at: int, *, last: bool) -> None:
        self._book.cell_start(cell, at)
        self._outputs.papermill(at, cell.metadata.papermill)
        self._outputs.begin(at)
        self._ending, self._deadline = None, None
        if self._cell_timeout is not None:
            self._deadline = time.monotonic() + self._cell_timeout
        failed = True
        try:
            reply = self._execute(cell)
            self._judge(reply, cell, last=last)
            failed = False
        finally:
            self._outputs.end()
            if failed:
                self._book.cell_exception(cell, cell_index=at)
            self._book.cell_complete(cell, cell_index=at)
            self._outputs.papermill(at, cell.metadata.papermill)

    def _execute(self, cell: NotebookNode) -> dict[str, Any]:
        allowed = ALLOWED in cell.metadata.get("tags", [])
        message: Message | None = None
        for message in self._kernel.execute(cell.source, self._look, stop=not allowed):
            if message.type != "execute_reply":
                self._take(message)
        assert message is not None  # noqa: S101 - a reply is the last of them
        return message.content

    def _take(self, message: Message) -> None:
        try:
            self._outputs.take(message)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            # The notebook's code can send what it likes.
            said = f"[A message of the kernel cannot be read: {type(error).__name__}]"
            self._recorder.echo(said, end_line=True)

    def _judge(self, reply: dict[str, Any], cell: NotebookNode, *, last: bool) -> None:
        """Raise ``_Over`` when the run must not go on after this answer."""
        if self._ending is not None:
            raise _Over(self._ending, self._why())
        if reply.get("status") == "ok":
            for asked in reply.get("payload") or ():
                if asked.get("source") == "ask_exit" and not (last and not asked["keepkernel"]):
                    # IPython's exit() does not raise; what followed it in the cell has run.
                    raise _Over(Ending.cell_error, "SystemExit: the cell called exit()")
            return
        name, value = str(reply.get("ename")), str(reply.get("evalue", ""))
        if ALLOWED in cell.metadata.get("tags", []):
            return
        if name == "SystemExit" and value in _WELL and last:
            return
        clean = self._recorder.scrubber.clean
        error = clean(f"{name}: {value}" if value else name)[:500]
        raise _Over(Ending.cell_error, error, _line(reply))

    def _look(self) -> None:
        """See to what no message tells: a wish to end, and the time."""
        self._outputs.flush()
        now = time.monotonic()
        if self._ending is not None:
            if self._deadline is not None and now > self._deadline:
                self._kernel.kill()
                raise _Over(self._ending, self._why())
        elif self._stop.asked:
            self._interrupt(Ending.terminated)
        elif self._deadline is not None and now > self._deadline:
            self._interrupt(Ending.cell_timeout)

    def _interrupt(self, ending: Ending) -> None:
        if self._at is None:
            raise _Over(ending)
        self._ending = ending
        self._deadline = time.monotonic() + INTERRUPT_TIMEOUT
        self._kernel.interrupt()

    def _why(self) -> str:
        if self._ending is not Ending.cell_timeout:
            return ""
        return f"It ran longer than the {self._cell_timeout:g} s a cell may"

    def _died(self) -> Outcome:
        if self._ending is not None:
            return Outcome(self._ending, cell=self._at, error=self._why())
        return Outcome(Ending.kernel_died, cell=self._at, error="The kernel died")

    def _echo_last_words(self) -> None:
        said = self._recorder.scrubber.clean(self._kernel.last_words)
        if said:
            self._recorder.echo(said, end_line=True)


def _line(reply: dict[str, Any]) -> int | None:
    """Find the line of the cell that its IPython traceback names last."""
    text = _ANSI.sub("", "\n".join(map(str, reply.get("traceback") or ())))
    found = re.findall(rf"Cell In\[{reply.get('execution_count')}\], line (\d+)", text)
    return int(found[-1]) if found else None

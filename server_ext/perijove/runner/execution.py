"""Execute a notebook's cells in a kernel, and know how it ended."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zmq.asyncio
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import ensure_async
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from papermill.engines import NotebookExecutionManager

from perijove.runner.outcome import Ending, Outcome
from perijove.runner.recorder import Recorder

SKIP = "skip-execution"
#: Seconds a kernel may take to answer after its start.
START_TIMEOUT = 120
#: Seconds the output of a cell may lag behind its end. nbclient's four are for the whole
#: backlog, which 20,000 prints exceed.
IOPUB_TIMEOUT = 300
#: Seconds an interrupted cell may take to end.
INTERRUPT_TIMEOUT = 5.0
#: Characters up to which neighbouring stream outputs are merged; joining longer text again
#: and again would take quadratic time.
MERGE = 65_536
#: Seconds a kernel may take to end by itself after its last cell: what it has left to send, such
#: as metrics of an experiment, it sends now.
FAREWELL = 30.0

#: Lifts the limit at the kernel's end of its output too: ipykernel drops what comes on top of a
#: thousand waiting messages. One expression, so that the notebook's namespace stays clean;
#: libzmq applies it to open connections.
UNLIMITED = (
    "(lambda thread: thread.schedule(lambda: thread.socket.setsockopt("
    "__import__('zmq').SNDHWM, 0)))(get_ipython().kernel.iopub_socket.io_thread)"
)

_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def will_run(cell: NotebookNode) -> bool:
    """Tell whether a cell is one that executes."""
    return (
        cell.cell_type == "code"
        and bool(cell.source.strip())
        and SKIP not in cell.metadata.get("tags", [])
    )


class Client(NotebookClient):  # type: ignore[misc]
    """nbclient that copies output to the recorder as it arrives."""

    def __init__(self, notebook: NotebookNode, *, recorder: Recorder, **options: Any) -> None:
        super().__init__(notebook, **options)
        self._recorder = recorder

    def process_message(self, msg: Any, cell: NotebookNode, cell_index: int) -> Any:
        """Take one message of the kernel."""
        output = super().process_message(msg, cell, cell_index)
        if output is not None:
            self._copy(output)
            _merge_streams(cell.outputs)
        self._recorder.save_if_due(self.nb)
        return output

    def _copy(self, output: NotebookNode) -> None:
        if output.output_type == "stream":
            self._recorder.echo(output.text)
        elif output.output_type == "error":
            text = "\n".join(output.traceback) or f"{output.ename}: {output.evalue}"
            self._recorder.echo(_ANSI.sub("", text), end_line=True)
        elif "text/plain" in output.get("data", {}):
            self._recorder.echo(output.data["text/plain"], end_line=True)


class Manager(AsyncKernelManager):
    """A kernel behind Unix sockets in ``folder``, whose output is never dropped.

    Ports picked for runs at once collide, and other users of the machine could reach them.
    """

    def __init__(self, kernel_name: str, folder: Path) -> None:
        context = zmq.asyncio.Context()
        # By default a thousand messages wait here, and what comes on top is lost, a cell's end
        # among it. Without a limit they wait in memory, which the run's limit covers.
        context.setsockopt(zmq.RCVHWM, 0)
        super().__init__(
            kernel_name=kernel_name, transport="ipc", ip=str(folder / "k"), context=context
        )

    def client(self, **options: Any) -> Any:
        """Make a client on the same context."""
        return super().client(context=self.context, **options)


def _merge_streams(outputs: list[NotebookNode]) -> None:
    """Join the last output to the one before where both are short text of one stream."""
    if len(outputs) < 2:
        return
    first, second = outputs[-2], outputs[-1]
    if (
        first.output_type == second.output_type == "stream"
        and first.name == second.name
        and len(first.text) + len(second.text) < MERGE
    ):
        first.text += second.text
        outputs.pop()


@dataclass(frozen=True)
class Setting:
    """Where a kernel runs."""

    directory: Path | None = None
    """Its working directory; ``None`` for ours."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """What it has on top of our environment."""

    @classmethod
    def of(cls, *, work: Path | None, metrics: Path | None) -> Setting:
        """Make one from a command line's paths."""
        told = {"PERIJOVE_METRICS": str(metrics.absolute())} if metrics else {}
        return cls(work.absolute() if work else None, told)


class Execution:
    """One run of a notebook in one kernel; ``book`` keeps papermill's metadata of it."""

    def __init__(
        self,
        book: NotebookExecutionManager,
        kernel_name: str,
        recorder: Recorder,
        setting: Setting,
    ) -> None:
        self._setting = setting
        self._book = book
        self._notebook: NotebookNode = book.nb
        self._kernel_name = kernel_name
        self._recorder = recorder
        self._stopping = False
        self._in_cell = False
        self._at: int | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self) -> Outcome:
        """Execute every cell that should run; return how it ended, whatever happens."""
        # Not in the run's own folder: a socket's path holds at most 107 characters.
        sockets = Path(tempfile.mkdtemp(prefix="pj-"))
        self._manager = Manager(self._kernel_name, sockets)
        self._client = Client(
            self._notebook,
            recorder=self._recorder,
            km=self._manager,
            timeout=None,
            startup_timeout=START_TIMEOUT,
            iopub_timeout=IOPUB_TIMEOUT,
            raise_on_iopub_timeout=True,
        )
        try:
            return asyncio.run(self._run())
        finally:
            self._manager.context.destroy(linger=0)
            shutil.rmtree(sockets, ignore_errors=True)

    async def _run(self) -> Outcome:
        loop = asyncio.get_running_loop()
        work = asyncio.create_task(self._in_kernel())
        loop.add_signal_handler(signal.SIGTERM, self._terminate, work)
        try:
            outcome = await work
        except (asyncio.CancelledError, Exception) as error:
            outcome = self._explain(error)
        # From here on the outcome is settled; what is left is to save it.
        loop.add_signal_handler(signal.SIGTERM, lambda: None)
        for task in self._tasks:
            task.cancel()
        if self._manager.has_kernel:
            self._manager.shutdown_wait_time = FAREWELL
            with suppress(Exception):
                await self._manager.shutdown_kernel(now=outcome.ending is not Ending.succeeded)
        return outcome

    async def _in_kernel(self) -> Outcome:
        try:
            await self._client.async_start_new_kernel(
                cwd=self._setting.directory, env=os.environ | self._setting.environment
            )
            kernel = await self._client.async_start_new_kernel_client()
        except NoSuchKernel:
            here = ", ".join(sorted(KernelSpecManager().find_kernel_specs())) or "none"
            text = f"The kernel '{self._kernel_name}' is not installed where jobs run. Here: {here}"
            return Outcome(Ending.no_kernel, error=text)
        except (RuntimeError, TimeoutError) as error:
            return Outcome(Ending.no_kernel, error=f"The kernel did not start: {error}")
        try:
            await self._prepare(kernel)
            await self._run_cells()
            self._client.set_widgets_metadata()
        finally:
            await ensure_async(kernel.stop_channels())
        if self._stopping:
            return Outcome(Ending.terminated, cell=self._at)
        return Outcome(Ending.succeeded)

    async def _prepare(self, kernel: Any) -> None:
        asked = await ensure_async(kernel.kernel_info())
        reply = await self._client.async_wait_for_reply(asked)
        self._notebook.metadata["language_info"] = reply["content"]["language_info"]
        if self._manager.ipykernel:
            # Its answer is awaited and not judged: a kernel made otherwise keeps its limit.
            await self._client.async_wait_for_reply(kernel.execute(UNLIMITED, silent=True))

    async def _run_cells(self) -> None:
        cells = [(at, cell) for at, cell in enumerate(self._notebook.cells) if will_run(cell)]
        self._recorder.started(len(cells))
        for number, (at, cell) in enumerate(cells, 1):
            if self._stopping:
                return
            self._at = at
            self._recorder.cell(number, len(cells), index=at, source=cell.source)
            await self._run_cell(cell, at)
            self._recorder.cell_done(number)
            self._recorder.save_if_due(self._notebook)

    async def _run_cell(self, cell: NotebookNode, at: int) -> None:
        self._book.cell_start(cell, at)
        self._in_cell = True
        try:
            await self._client.async_execute_cell(cell, at)
        except BaseException as error:
            self._book.cell_exception(cell, cell_index=at, exception=error)
            raise
        finally:
            self._in_cell = False
            self._book.cell_complete(cell, cell_index=at)

    def _terminate(self, work: asyncio.Task[Outcome]) -> None:
        """End the run; a cell that runs is interrupted first, so that its output is kept."""
        if self._stopping:
            return
        self._stopping = True
        if self._in_cell:
            self._tasks.add(asyncio.ensure_future(self._interrupt(work)))
        else:
            work.cancel()

    async def _interrupt(self, work: asyncio.Task[Outcome]) -> None:
        with suppress(Exception):
            await self._manager.interrupt_kernel()
        await asyncio.sleep(INTERRUPT_TIMEOUT)
        work.cancel()

    def _explain(self, error: BaseException) -> Outcome:
        """Turn what ended the run into its outcome; what nobody foresaw is raised again."""
        if self._stopping:
            return Outcome(Ending.terminated, cell=self._at)
        match error:
            case CellExecutionError():
                assert self._at is not None  # noqa: S101 - no cell, no cell's error
                text = f"{error.ename}: {error.evalue}" if error.evalue else str(error.ename)
                line = _line_of(self._notebook.cells[self._at])
                return Outcome(Ending.cell_error, cell=self._at, error=text[:500], line=line)
            case DeadKernelError():
                return Outcome(Ending.kernel_died, cell=self._at, error="The kernel died")
            case CellTimeoutError():
                text = "A cell's output did not arrive in time"
                return Outcome(Ending.output_lost, cell=self._at, error=text)
        raise error


def _line_of(cell: NotebookNode) -> int | None:
    """Find the line of ``cell`` that its IPython traceback names last."""
    for output in cell.outputs:
        if output.output_type == "error":
            text = _ANSI.sub("", "\n".join(output.traceback))
            found = re.findall(rf"Cell In\[{cell.execution_count}\], line (\d+)", text)
            return int(found[-1]) if found else None
    return None

"""Papermill's engine of Perijove: ``papermill --engine perijove`` and every job run use it."""

from __future__ import annotations

import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_output
from papermill.engines import Engine, NotebookExecutionManager, papermill_engines

from perijove.runner.execution import Execution
from perijove.runner.kernel import Kernel, KernelMissing, Setting
from perijove.runner.outcome import Ending, Outcome, RunEnded
from perijove.runner.recorder import Recorder
from perijove.runner.scrub import Scrubber
from perijove.runner.stop import Stop

NAME = "perijove"


class PerijoveEngine(Engine):  # type: ignore[misc]
    """Keeps every change at once instead of saving all at every cell, and ends as the run ended.

    Papermill's own engine takes a dead kernel or a timeout for success. Given a recorder, this
    one raises ``RunEnded`` with how it ended. Without, papermill goes on as it always does: it
    writes the output notebook where it was told, and raises ``PapermillExecutionError`` if a
    cell failed. What failed outside any cell, such as a kernel that did not start, raises
    ``RunEnded`` too.
    """

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: NotebookExecutionManager,
        kernel_name: str,
        *,
        recorder: Recorder | None = None,
        kernel: Kernel | None = None,
        stop: Stop | None = None,
        execution_timeout: float | None = None,
        max_output: int | None = None,
        **_papermill: Any,
    ) -> None:
        """Execute ``nb_man.nb``.

        ``recorder`` says where events and output go, ``kernel`` is one that was started before,
        ``execution_timeout`` are the seconds of one cell, ``max_output`` the bytes of all
        outputs.
        """
        if recorder is None:
            with _for_papermill(nb_man) as own:
                cls.execute_managed_notebook(
                    nb_man,
                    kernel_name,
                    recorder=own,
                    kernel=kernel,
                    stop=stop,
                    execution_timeout=execution_timeout,
                    max_output=max_output,
                )
            return
        if stop is None:
            stop = Stop()
            stop.listen()
        # Where a file lay on one machine is nobody else's business.
        for name in [name for name in nb_man.nb.metadata.papermill if name.endswith("_path")]:
            del nb_man.nb.metadata.papermill[name]
        execution: Execution | None = None
        try:
            try:
                kernel = kernel or Kernel(kernel_name, Setting())
            except KernelMissing as error:
                outcome = Outcome(Ending.no_kernel, error=str(error))
            else:
                execution = Execution(
                    nb_man,
                    kernel,
                    recorder,
                    stop=stop,
                    cell_timeout=execution_timeout,
                    limit=max_output,
                )
                outcome = execution.run()
        except BaseException as error:
            outcome = Outcome(Ending.internal, error=f"{type(error).__name__}: {error}"[:500])
            recorder.ended(outcome, nb_man.nb)
            if kernel is not None:
                kernel.close()
            raise
        if outcome.ending is Ending.succeeded:
            nb_man.notebook_complete()
        else:
            nb_man.nb.metadata.papermill["exception"] = True
        recorder.ended(outcome, nb_man.nb)
        if execution is not None:
            execution.leave(outcome)
        _as_nodes(nb_man.nb)
        # Papermill would go on to write the notebook, though it is told to write it nowhere.
        raise RunEnded(outcome)


def _as_nodes(notebook: NotebookNode) -> None:
    """Give outputs the form in which papermill looks at them."""
    for cell in notebook.cells:
        if "outputs" in cell:
            cell.outputs = [NotebookNode(output) for output in cell.outputs]


@contextmanager
def _for_papermill(nb_man: NotebookExecutionManager) -> Iterator[Recorder]:
    """Record for someone who calls papermill itself: only the output notebook counts."""
    folder = Path(tempfile.mkdtemp(prefix="pj-"))
    target = nb_man.output_path
    at_sigterm = signal.getsignal(signal.SIGTERM) or signal.SIG_DFL
    # Or papermill would save as well, the whole notebook twice a cell.
    nb_man.output_path = None
    is_file = target and target != "-" and "://" not in target
    try:
        yield Recorder(
            # Beside the output, so that it can be made from the journal after a kill -9.
            output=Path(target if is_file else folder / "output.ipynb"),
            events=folder / "events.jsonl",
            scrubber=Scrubber.of_environment(),
            # Standard output may be where the notebook goes.
            log=2 if nb_man.log_output else None,
        )
    except RunEnded as ended:
        outcome = ended.outcome
        if outcome.cell is None and outcome.ending is not Ending.succeeded:
            raise
        if outcome.cell is not None:
            _tell_papermill(nb_man.nb.cells[outcome.cell], outcome)
    finally:
        if threading.current_thread() is threading.main_thread():
            # The process is the caller's, and goes on.
            signal.signal(signal.SIGTERM, at_sigterm)
        shutil.rmtree(folder, ignore_errors=True)


def _tell_papermill(cell: NotebookNode, outcome: Outcome) -> None:
    """Put into the cell why the run ended: papermill looks for errors among outputs alone.

    It takes a ``SystemExit`` for success, whatever did not run after it.
    """
    if any(o.output_type == "error" and o.ename != "SystemExit" for o in cell.outputs):
        return
    error = new_output(
        "error", ename=str(outcome.ending), evalue=outcome.error, traceback=[outcome.error]
    )
    cell.outputs.append(error)


def register() -> None:
    """Make the engine known where its entry point is not installed."""
    papermill_engines.register(NAME, PerijoveEngine)

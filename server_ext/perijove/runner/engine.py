"""Papermill's engine of Perijove: ``papermill --engine perijove`` and every job run use it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
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

    Papermill's own engine takes a dead kernel or a timeout for success. This one raises
    ``RunEnded`` for everything but success, and for success as well where it is given a
    recorder.
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
        own = recorder is None
        if recorder is None:
            recorder = _own_recorder(nb_man)
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
        if outcome.ending is not Ending.succeeded or not own:
            # Papermill would go on to write the notebook, though it is told to write it nowhere.
            raise RunEnded(outcome)


def _as_nodes(notebook: NotebookNode) -> None:
    """Give outputs the form in which papermill looks at them."""
    for cell in notebook.cells:
        if "outputs" in cell:
            cell.outputs = [NotebookNode(output) for output in cell.outputs]


def _own_recorder(nb_man: NotebookExecutionManager) -> Recorder:
    """Record for someone who calls papermill without a recorder: only the output counts."""
    folder = Path(tempfile.mkdtemp(prefix="pj-"))
    output = Path(nb_man.output_path or folder / "output.ipynb")
    # Or papermill would save as well, the whole notebook twice a cell.
    nb_man.output_path = None
    return Recorder(
        output=output, events=folder / "events.jsonl", scrubber=Scrubber.of_environment()
    )


def register() -> None:
    """Make the engine known where its entry point is not installed."""
    papermill_engines.register(NAME, PerijoveEngine)

"""Papermill's engine of Perijove: ``papermill --engine perijove`` and every job run use it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from papermill.engines import Engine, NotebookExecutionManager, papermill_engines

from perijove.runner.execution import Execution, Setting
from perijove.runner.outcome import Ending, Outcome, RunEnded
from perijove.runner.recorder import Recorder

NAME = "perijove"


class PerijoveEngine(Engine):  # type: ignore[misc]
    """Saves by time instead of by cell, and ends as the run ended.

    Papermill's own engine takes a dead kernel or a timeout for success. This one raises
    ``RunEnded`` for everything but success.
    """

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: NotebookExecutionManager,
        kernel_name: str,
        *,
        recorder: Recorder | None = None,
        setting: Setting | None = None,
        **_papermill: Any,
    ) -> None:
        """Execute ``nb_man.nb`` in ``setting``; ``recorder`` says where events and output go."""
        if recorder is None:
            recorder = _own_recorder(nb_man)
        try:
            outcome = Execution(nb_man, kernel_name, recorder, setting or Setting()).run()
        except BaseException as error:
            outcome = Outcome(Ending.internal, error=f"{type(error).__name__}: {error}"[:500])
            recorder.ended(outcome, nb_man.nb)
            raise
        if outcome.ending is Ending.succeeded:
            nb_man.notebook_complete()
        else:
            nb_man.nb.metadata.papermill["exception"] = True
        recorder.ended(outcome, nb_man.nb)
        if outcome.ending is not Ending.succeeded:
            raise RunEnded(outcome)


def _own_recorder(nb_man: NotebookExecutionManager) -> Recorder:
    """Record for someone who calls papermill without a recorder: only the output counts."""
    folder = Path(tempfile.mkdtemp(prefix="pj-"))
    output = Path(nb_man.output_path or folder / "output.ipynb")
    # Or papermill would save as well, the whole notebook twice a cell.
    nb_man.output_path = None
    return Recorder(output=output, events=folder / "events.jsonl")


def register() -> None:
    """Make the engine known where its entry point is not installed."""
    papermill_engines.register(NAME, PerijoveEngine)

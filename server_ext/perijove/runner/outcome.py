"""How a run of a notebook ended, and the exit code that says so."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Ending(StrEnum):
    """The ways a run ends; every way but the first leaves cells that did not run."""

    succeeded = "succeeded"
    cell_error = "cell_error"
    """A cell raised."""
    kernel_died = "kernel_died"
    """The kernel's process ended under a cell."""
    no_kernel = "no_kernel"
    """The kernel is not installed here or did not start."""
    cell_timeout = "cell_timeout"
    """A cell ran longer than a cell may."""
    output_lost = "output_lost"
    """A cell ended but its output did not arrive."""
    terminated = "terminated"
    """Somebody asked the run to end."""
    bad_input = "bad_input"
    """The notebook or its parameters cannot be used."""
    internal = "internal"
    """The runner itself failed."""


EXIT_CODES = {
    Ending.succeeded: 0,
    Ending.internal: 1,
    Ending.bad_input: 2,
    Ending.cell_error: 3,
    Ending.kernel_died: 4,
    Ending.output_lost: 5,
    Ending.no_kernel: 6,
    Ending.cell_timeout: 7,
    # What a shell reports for SIGTERM.
    Ending.terminated: 143,
}


@dataclass(frozen=True)
class Outcome:
    """An ending and where it happened."""

    ending: Ending
    cell: int | None = None
    """Index in the output notebook's ``cells``."""
    error: str = ""
    """Exception and message, or what went wrong."""
    line: int | None = None
    """Line of the cell that raised, from 1."""

    @property
    def exit_code(self) -> int:
        """The runner's exit code."""
        return EXIT_CODES[self.ending]


class RunEnded(Exception):
    """Leaves papermill with the outcome of a run."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        super().__init__(f"{outcome.ending}: {outcome.error}")

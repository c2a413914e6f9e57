"""One run in full: its card, and where and why it failed."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from perijove import jobs
from perijove.magics.jobs.tables import run_card
from perijove.types.jobs import Run, RunState
from perijove.types.watching import RunFailure


@dataclass(frozen=True)
class RunReport:
    """A run and its failure: what ``%job show NAME --run ID`` returns."""

    run: Run
    failure: RunFailure | None

    @classmethod
    def of(cls, run_id: str) -> RunReport:
        """Look a run up; raises ``ApiError``."""
        run = jobs.show_run(run_id)
        failed = run.state in (RunState.failed, RunState.lost)
        return cls(run, jobs.failure(run_id) if failed else None)

    def __repr__(self) -> str:
        return "\n".join([repr(run_card(self.run)), *self._lines()])

    def _repr_html_(self) -> str:
        lines = self._lines()
        said = f"<pre>{escape(chr(10).join(lines))}</pre>" if lines else ""
        return run_card(self.run)._repr_html_() + said

    def _lines(self) -> list[str]:
        """Return the cell at fault, with a mark at the line that raised, and the traceback."""
        if self.failure is None:
            return []
        found = self.failure
        lines = [
            f"{'>' if number == found.line else ' '} {number:>4} {text}"
            for number, text in enumerate(found.source, found.first_line)
        ]
        return [*lines, *found.traceback.splitlines()]

"""One run in full, or one try of it: its card, and where and why it failed."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from perijove import jobs
from perijove.magics.display import Card
from perijove.magics.jobs.tables import attempt_card, run_card
from perijove.types.jobs import Attempt, Run, RunState
from perijove.types.watching import RunFailure


@dataclass(frozen=True)
class RunReport:
    """A run and its failure: what ``%job show NAME --run ID`` returns."""

    run: Run
    failure: RunFailure | None
    tries: tuple[Attempt, ...] = ()
    """All of a run that was tried several times."""
    attempt: Attempt | None = None
    """The one of them that is shown; ``None`` for the run as it is now."""

    @classmethod
    def of(cls, run_id: str, *, attempt: int | None = None) -> RunReport:
        """Look a run up, or one of its tries; raises ``ApiError`` and ``JobError``."""
        run = jobs.show_run(run_id)
        tries = tuple(jobs.attempts(run_id)) if attempt is not None or run.attempt > 1 else ()
        tried = None if attempt is None else _of_number(tries, attempt)
        failed = (tried or run).state in (RunState.failed, RunState.lost)
        failure = jobs.failure(run_id, attempt=attempt) if failed else None
        return cls(run, failure, tries if run.attempt > 1 else (), tried)

    @classmethod
    def of_last(cls, name: str, *, attempt: int, owner: str | None) -> RunReport:
        """Look up a try of a job's last run."""
        newest = jobs.runs(name, owner=owner, limit=1)
        if not newest:
            raise jobs.JobError(f"'{name}' has not run yet: `%job run {name}`.")
        return cls.of(newest[0].id, attempt=attempt)

    @property
    def document(self) -> Run | Attempt:
        """What is shown, as the API tells it."""
        return self.attempt or self.run

    def __repr__(self) -> str:
        return "\n".join([repr(self._card()), *self._lines()])

    def _repr_html_(self) -> str:
        lines = self._lines()
        said = f"<pre>{escape(chr(10).join(lines))}</pre>" if lines else ""
        return self._card()._repr_html_() + said

    def _card(self) -> Card:
        if self.attempt is not None:
            return attempt_card(self.run, self.attempt)
        return run_card(self.run, self.tries)

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


def _of_number(tries: tuple[Attempt, ...], number: int) -> Attempt:
    for one in tries:
        if one.attempt == number:
            return one
    raise jobs.JobError(
        f"The run has no attempt {number}. It is at its attempt {tries[-1].attempt}; leave the "
        "number out for that one."
    )

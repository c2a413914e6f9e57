"""``%promote`` and ``%job``."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perijove import environment, jobs
from perijove.jobs.inputs import AUTO, INPUTS
from perijove.jobs.settings import POLICY, RESOURCES, SCHEDULE, SHARING
from perijove.magics.arguments import Command
from perijove.magics.display import say
from perijove.magics.jobs import history, notifying, ranges, verbs
from perijove.magics.jobs.lines import take_parameters
from perijove.magics.jobs.tables import made
from perijove.magics.jobs.verbs import JobRun, PromotedJob, in_a_run
from perijove.magics.notebook import standing_in

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["JobMagics", "JobRun", "PromotedJob"]

PROMOTE = Command(
    "%promote [NAME] [--path NOTEBOOK.ipynb] "
    "[--schedule CRON | --every 6h | --after JOB[,JOB] | --on-data DATASET] [--timezone ZONE] "
    "[--param NAME=VALUE ...] [--inputs auto|none] [--input FILE ...] "
    "[--visibility private|group|everyone] [--group GROUP] "
    "[--retries N] [--timeout-s 2h] [--memory-mb N] ...",
    words=(0, 1),
    flags={"--path": str},
    options=[*INPUTS, *SCHEDULE, *RESOURCES, *POLICY, *SHARING],
)
#: Most that is said below a promotion.
MOST_WARNINGS = 5
#: In the order a person meets them.
VERBS = {**verbs.VERBS, **history.VERBS, **ranges.VERBS, **notifying.VERBS}
JOB = Command(f"%job {'|'.join(VERBS)} NAME [--param NAME=VALUE ...]", words=(1, None))


def _folder(path: str) -> Path:
    """Return where the notebook lies that the server, or the disk, knows as ``path``.

    The server's paths begin at the home. Where it is not, the environment says where the notebook
    was when its kernel began, which a later move does not change.
    """
    began = os.environ.get("JPY_SESSION_NAME", "")
    for place in (Path.home() / path.removeprefix("RTC:"), Path(began)):
        if place.is_absolute() and place.is_file():
            return place.parent
    return Path.cwd()


class JobMagics:
    """Promote this notebook and run jobs."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell

    def promote(self, line: str) -> PromotedJob | None:
        """Make this notebook a job, or the job's next version: ``%promote``."""
        rest, texts = take_parameters(line, PROMOTE)
        given = PROMOTE.parse(rest)
        if in_a_run():
            say("This is a job's run: nothing to promote.")
            return None
        named = "%promote --path NOTEBOOK.ipynb"
        here = None
        if not given["--path"]:
            here = standing_in(self._shell, magic="%promote", named=named)
        notebook = here.content if here else Path(given["--path"])
        folder = _folder(here.path) if here else None
        inputs = given.options.get("inputs", AUTO)
        inspection = jobs.inspect(notebook, folder=folder, inputs=inputs)
        if texts:
            given.options["parameters"] = jobs.from_text(inspection.parameters, texts)
        job = jobs.create(
            notebook,
            given.words[0] if given.words else None,
            path=here.path if here else None,
            folder=folder,
            **given.options,
        )
        say(made(job))
        if missing := environment.warning():
            say(missing)
        for warning in inspection.warnings[:MOST_WARNINGS]:
            say(warning)
        return PromotedJob(job)

    def job(self, line: str) -> Any:
        """Run and watch jobs: ``%job run tutorial --param C=2.0``."""
        verb, _, rest = line.strip().partition(" ")
        if not verb:
            raise JOB.wrong("What of jobs?")
        if verb not in VERBS:
            near = difflib.get_close_matches(verb, VERBS, n=1)
            hint = f" Did you mean %job {near[0]}?" if near else ""
            raise JOB.wrong(f"'{verb}' is nothing %job can do.{hint}")
        return VERBS[verb](rest)

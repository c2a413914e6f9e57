"""``%promote`` and ``%job``."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perijove import environment, jobs
from perijove.magics.arguments import Command, split, unquote
from perijove.magics.display import Card, Chip, Listing, Status, say
from perijove.magics.notebook import standing_in
from perijove.types.base import Visibility
from perijove.types.jobs import Job, Run, RunState

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

PROMOTE = Command(
    "%promote [NAME] [--schedule 'CRON'] [--timezone ZONE] "
    "[--visibility private|group|everyone] [--group GROUP] [--path NOTEBOOK.ipynb]",
    words=(0, 1),
    flags={
        "--schedule": str,
        "--timezone": str,
        "--visibility": str,
        "--group": str,
        "--path": str,
    },
)
RUN = Command(
    "%job run NAME [--param NAME=VALUE ...] [--version N] [--no-wait]",
    words=(1, 1),
    flags={"--version": int, "--owner": str, "--no-wait": bool},
)
LIST = Command("%job list [WORDS]", words=(0, None))
SHOW = Command("%job show NAME", words=(1, 1), flags={"--owner": str})
LOGS = Command("%job logs NAME [--run ID]", words=(1, 1), flags={"--run": str, "--owner": str})
CANCEL = Command("%job cancel NAME [--run ID]", words=(1, 1), flags={"--run": str, "--owner": str})
JOB = Command("%job run|list|show|logs|cancel NAME [--param NAME=VALUE ...]", words=(1, None))


class JobRun:
    """A run: what ``%job run`` returns."""

    def __init__(self, run: Run) -> None:
        self.run = run

    @property
    def state(self) -> RunState:
        """How it stands, or stood when it was last looked at."""
        return self.run.state

    def __repr__(self) -> str:
        return repr(self._card())

    def _repr_html_(self) -> str:
        return self._card()._repr_html_()

    def _card(self) -> Card:
        run = self.run
        given = ", ".join(f"{name}={value!r}" for name, value in run.parameters.items())
        facts = {
            "parameters": given or None,
            "version": run.version,
            "took": _duration(run),
            "why": run.reason,
            "log": f"%job logs {run.job}" if run.state is RunState.failed else None,
        }
        return Card(f"{run.job}, run {run.id}", facts, state=run.state.value)


class PromotedJob:
    """A job: what ``%promote`` returns."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def __repr__(self) -> str:
        return repr(self._card())

    def _repr_html_(self) -> str:
        return self._card()._repr_html_()

    def _card(self) -> Card:
        job = self.job
        state = job.last_run.state.value if job.last_run else None
        return Card(job.name, {**_facts(job), "run it": f"%job run {job.name}"}, state=state)


class JobMagics:
    """Promote this notebook and run jobs."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell

    def promote(self, line: str) -> PromotedJob | None:
        """Make this notebook a job, or the job's next version: ``%promote``."""
        given = PROMOTE.parse(line)
        visibility = given["--visibility"]
        if visibility is not None and visibility not in list(Visibility):
            options = ", ".join(Visibility)
            raise PROMOTE.wrong(f"--visibility must be {options}, not '{visibility}'.")
        if given["--timezone"] and not given["--schedule"]:
            raise PROMOTE.wrong("--timezone goes with --schedule.")
        if _in_a_run():
            say("This is a job's run: nothing to promote.")
            return None
        named = "%promote --path NOTEBOOK.ipynb"
        here = None
        if not given["--path"]:
            here = standing_in(self._shell, magic="%promote", named=named)
        notebook = here.content if here else Path(given["--path"])
        warnings = jobs.inspect(notebook).warnings
        job = jobs.create(
            notebook,
            given.words[0] if given.words else None,
            path=here.path if here else None,
            schedule=given["--schedule"],
            timezone=given["--timezone"] or "UTC",
            visibility=visibility,
            group=given["--group"],
        )
        say(f"{job.name} is a job, version {job.latest.version}.")
        if missing := environment.warning():
            say(missing)
        for warning in warnings[:1]:
            say(warning)
        return PromotedJob(job)

    def job(self, line: str) -> Any:
        """Run and watch jobs: ``%job run tutorial --param C=2.0``."""
        verb, _, rest = line.strip().partition(" ")
        verbs: dict[str, Callable[[str], Any]] = {
            "run": self._run,
            "list": self._list,
            "show": self._show,
            "logs": self._logs,
            "cancel": self._cancel,
        }
        if verb not in verbs:
            raise JOB.wrong(f"'{verb}' is nothing %job can do." if verb else "What of jobs?")
        return verbs[verb](rest)

    def _run(self, line: str) -> JobRun | None:
        rest, texts = _take_parameters(line)
        given = RUN.parse(rest)
        name = given.words[0]
        if _in_a_run():
            say(f"This is a job's run: it does not run '{name}'.")
            return None
        owner = given["--owner"]
        run = jobs.run(
            name,
            parameters=jobs.values(name, texts, owner=owner),
            version=given["--version"],
            owner=owner,
            wait=False,
        )
        if given["--no-wait"]:
            say(f"{name}: run {run.id} is queued.")
            return JobRun(run)
        return JobRun(_followed(run))

    def _list(self, line: str) -> Listing:
        found = jobs.list(" ".join(LIST.parse(line).words))
        rows = [
            [
                job.name,
                Chip(job.last_run.state.value) if job.last_run else "",
                job.latest.version,
                job.schedule.cron if job.schedule else "",
                job.owner,
            ]
            for job in found
        ]
        columns = ["job", "last run", "version", "schedule", "owner"]
        return Listing(columns, rows, empty="No jobs yet: %promote makes one of a notebook.")

    def _show(self, line: str) -> Listing:
        given = SHOW.parse(line)
        name, owner = given.words[0], given["--owner"]
        job = jobs.show(name, owner=owner)
        facts = "; ".join(f"{key} {value}" for key, value in _facts(job).items() if value)
        rows = [
            [
                run.id,
                Chip(run.state.value),
                f"{run.queued_at:%Y-%m-%d %H:%M}",
                _duration(run) or "",
                run.reason or "",
            ]
            for run in jobs.runs(name, owner=owner)
        ]
        return Listing(
            ["run", "state", "queued (UTC)", "took", "why"],
            rows,
            caption=f"{job.name}: {facts}",
            empty=f"{job.name} ({facts}) has not run yet: %job run {job.name}",
        )

    def _logs(self, line: str) -> None:
        given = LOGS.parse(line)
        for text in jobs.logs(given.words[0], run=given["--run"], owner=given["--owner"]):
            print(text, end="")  # noqa: T201 - a person asked for it

    def _cancel(self, line: str) -> None:
        given = CANCEL.parse(line)
        run = jobs.cancel(given.words[0], run=given["--run"], owner=given["--owner"])
        say(f"{run.job}: run {run.id} is {'being ' * (not run.state.terminal)}cancelled.")


def _in_a_run() -> bool:
    return bool(os.environ.get("PERIJOVE_RUN_ID"))


def _followed(run: Run) -> Run:
    """Show a run's way to its end; Ctrl-C ends the looking and not the run."""
    latest = run

    with Status() as status:

        def look(seen: Run) -> None:
            nonlocal latest
            latest = seen
            status.show(_progress(seen), state=seen.state.value)

        try:
            jobs.wait(run.id, follow=look)
        except KeyboardInterrupt:
            status.show(f"{run.job}: run {run.id} goes on; %job show {run.job}", state=None)
    return latest


def _progress(run: Run) -> str:
    progress = run.progress
    text = f"{run.job}: run {run.id}"
    if run.state is RunState.running and progress.cells_total:
        text += f", cell {min(progress.cells_done + 1, progress.cells_total)}"
        text += f" of {progress.cells_total}"
        text += f": {progress.current_cell}" if progress.current_cell else ""
    elif run.state.terminal:
        took = _duration(run)
        text += f", {took}" if took else ""
        text += f" - {run.reason}" if run.reason else ""
    return text


def _duration(run: Run) -> str | None:
    if run.started_at is None or run.ended_at is None:
        return None
    seconds = int((run.ended_at - run.started_at).total_seconds())
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def _facts(job: Job) -> dict[str, Any]:
    names = ", ".join(parameter.name for parameter in job.latest.parameters)
    schedule = f"{job.schedule.cron} {job.schedule.timezone}" if job.schedule else None
    return {
        "version": job.latest.version,
        "parameters": names or "none",
        "image": job.latest.image,
        "schedule": schedule,
    }


def _take_parameters(line: str) -> tuple[str, dict[str, str]]:
    """Take ``--param NAME=VALUE`` out of a line, as text: the job declares the types."""
    try:
        tokens = iter(split(line))
    except ValueError as error:
        raise RUN.wrong(f"{error}.") from None
    rest, texts = [], {}
    for token in tokens:
        flag, assigned, value = token.partition("=")
        if flag != "--param":
            rest.append(token)
            continue
        value = value if assigned else next(tokens, "")
        value = unquote(value) if value[:1] in ("'", '"') else value
        name, assigned, text = value.partition("=")
        if not assigned or not name.isidentifier():
            raise RUN.wrong(f"'{value}' is not NAME=VALUE.")
        if name in texts:
            raise RUN.wrong(f"'{name}' is given twice.")
        texts[name] = text if text[:1] in "[{" else unquote(text)
    return " ".join(rest), texts

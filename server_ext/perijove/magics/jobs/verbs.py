"""What ``%job`` does: one function a verb, each takes the rest of the line."""

from __future__ import annotations

import os
from typing import Any

from perijove import jobs
from perijove.jobs.settings import POLICY, RESOURCES, SCHEDULE, SHARING
from perijove.magics.arguments import Command
from perijove.magics.display import Card, Listing, say
from perijove.magics.jobs.following import run_followed
from perijove.magics.jobs.lines import take_parameters
from perijove.magics.jobs.ranges import BackfillTable, SweepTable, show_backfill, show_sweep
from perijove.magics.jobs.report import RunReport
from perijove.magics.jobs.tables import facts, jobs_table, preview_table, run_card, runs_table
from perijove.magics.jobs.words import backfill_progress, sweep_progress
from perijove.types.jobs import Job, Run, RunState

OWNER = {"--owner": str}
OF_A_RUN = {"--run": str, **OWNER}
ATTEMPT = {"--attempt": int}
RUN = Command(
    "%job run NAME [--param NAME=VALUE ...] [--version N] [--priority N] [--no-wait]",
    words=(1, 1),
    flags={"--version": int, "--priority": int, "--no-wait": bool, **OWNER},
)
LIST = Command(
    "%job list [WORDS] [--state STATE] [--sort name|created_at|updated_at]",
    words=(0, None),
    flags={"--state": str, "--sort": str, **OWNER},
)
OF_MANY = {"--backfill": str, "--sweep": str}
SHOW = Command(
    "%job show NAME [--run ID] [--attempt N] [--backfill ID | --sweep ID]",
    words=(1, 1),
    flags={**OF_MANY, **ATTEMPT, **OF_A_RUN},
)
LOGS = Command(
    "%job logs NAME [--run ID] [--attempt N] [--follow]",
    words=(1, 1),
    flags={"--follow": bool, **ATTEMPT, **OF_A_RUN},
)
CANCEL = Command(
    "%job cancel NAME [--run ID | --backfill ID | --sweep ID]",
    words=(1, 1),
    flags={**OF_MANY, **OF_A_RUN},
)
EDIT = Command(
    "%job edit NAME [--schedule CRON | --every 6h | --after JOB[,JOB] | --on-data DATASET] "
    "[--unschedule] [--param NAME=VALUE ...] [--retries N] [--timeout-s 2h] ...",
    words=(1, 1),
    flags={"--unschedule": bool, **OWNER},
    options=[*SCHEDULE, *RESOURCES, *POLICY, *SHARING],
)
PAUSE = Command("%job pause NAME", words=(1, 1), flags=OWNER)
RESUME = Command("%job resume NAME", words=(1, 1), flags=OWNER)
PREVIEW = Command("%job preview --schedule CRON [--timezone ZONE]", options=SCHEDULE)
DELETE = Command("%job delete NAME", words=(1, 1), flags=OWNER)


class JobRun:
    """A run: what ``%job run`` returns."""

    def __init__(self, run: Run) -> None:
        self.run = run

    @property
    def state(self) -> RunState:
        """How it stands, or stood when it was last looked at."""
        return self.run.state

    def __repr__(self) -> str:
        return repr(run_card(self.run))

    def _repr_html_(self) -> str:
        return run_card(self.run)._repr_html_()


class PromotedJob:
    """A job: what ``%promote`` and ``%job edit`` return."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def __repr__(self) -> str:
        return repr(self._card())

    def _repr_html_(self) -> str:
        return self._card()._repr_html_()

    def _card(self) -> Card:
        job = self.job
        state = job.last_run.state.value if job.last_run else None
        known = {**facts(job), "run it": f"%job run {job.name}"}
        return Card(job.name, known, state=state)


def in_a_run() -> bool:
    """Tell whether this notebook is a job's run itself, which starts no other."""
    return bool(os.environ.get("PERIJOVE_RUN_ID"))


def run(line: str) -> JobRun | None:
    """Run a job and follow it."""
    rest, texts = take_parameters(line, RUN)
    given = RUN.parse(rest)
    name = given.words[0]
    if in_a_run():
        say(f"This is a job's run: it does not run '{name}'.")
        return None
    owner = given["--owner"]
    started = jobs.run(
        name,
        parameters=jobs.values(name, texts, owner=owner),
        version=given["--version"],
        priority=given["--priority"],
        owner=owner,
        wait=False,
    )
    return shown(started, wait=not given["--no-wait"])


def shown(started: Run, *, wait: bool) -> JobRun:
    """Follow a run that was just made, unless that is not wanted."""
    if not wait:
        say(f"{started.job}: run {started.id} is queued.")
        return JobRun(started)
    return JobRun(run_followed(started))


def list_(line: str) -> Listing:
    """List jobs."""
    given = LIST.parse(line)
    found = jobs.list(
        " ".join(given.words),
        state=given["--state"],
        owner=given["--owner"],
        sort=given["--sort"],
    )
    return jobs_table(found)


def show(line: str) -> Listing | RunReport | BackfillTable | SweepTable:
    """Show a job and its newest runs, or one of its runs, backfills or sweeps."""
    given = SHOW.parse(line)
    if given["--run"]:
        return RunReport.of(given["--run"], attempt=given["--attempt"])
    if given["--backfill"]:
        return show_backfill(given["--backfill"])
    if given["--sweep"]:
        return show_sweep(given["--sweep"])
    name, owner = given.words[0], given["--owner"]
    if given["--attempt"] is not None:
        return RunReport.of_last(name, attempt=given["--attempt"], owner=owner)
    job = jobs.show(name, owner=owner)
    known = facts(job).items()
    said = "; ".join(f"{key} {value}" for key, value in known if value is not None)
    return runs_table(
        jobs.runs(name, owner=owner),
        caption=f"{job.name}: {said}",
        empty=f"{job.name} ({said}) has not run yet: %job run {job.name}",
    )


def logs(line: str) -> None:
    """Print a run's log."""
    given = LOGS.parse(line)
    texts = jobs.logs(
        given.words[0],
        run=given["--run"],
        attempt=given["--attempt"],
        owner=given["--owner"],
        follow=given["--follow"],
    )
    try:
        for text in texts:
            print(text, end="", flush=True)  # noqa: T201 - a person asked for it
    except KeyboardInterrupt:
        say("The log is no longer followed here.")


def cancel(line: str) -> None:
    """Cancel a run, or a backfill or sweep with its runs."""
    given = CANCEL.parse(line)
    if given["--backfill"]:
        say(backfill_progress(jobs.cancel_backfill(given["--backfill"])))
        return
    if given["--sweep"]:
        say(sweep_progress(jobs.cancel_sweep(given["--sweep"])))
        return
    run = jobs.cancel(given.words[0], run=given["--run"], owner=given["--owner"])
    say(f"{run.job}: run {run.id} is {'being ' * (not run.state.terminal)}cancelled.")


def edit(line: str) -> PromotedJob:
    """Change a job's schedule, limits, policy or sharing."""
    rest, texts = take_parameters(line, EDIT)
    given = EDIT.parse(rest)
    name, owner = given.words[0], given["--owner"]
    if texts:
        given.options["parameters"] = jobs.values(name, texts, owner=owner)
    job = jobs.edit(name, owner=owner, unschedule=given["--unschedule"], **given.options)
    say(f"{name} is changed.")
    return PromotedJob(job)


def pause(line: str) -> None:
    """Let a schedule rest."""
    given = PAUSE.parse(line)
    jobs.pause(given.words[0], owner=given["--owner"])
    say(f"{given.words[0]} is paused: %job resume {given.words[0]}")


def resume(line: str) -> None:
    """Let a schedule go on."""
    given = RESUME.parse(line)
    job = jobs.resume(given.words[0], owner=given["--owner"])
    following = job.schedule.next_slot if job.schedule else None
    due = f", next at {following:%Y-%m-%d %H:%M} UTC" if following else ""
    say(f"{job.name} goes on{due}.")


def preview(line: str) -> Listing:
    """Show the next slots of a schedule."""
    return preview_table(jobs.preview(**PREVIEW.parse(line).options))


def delete(line: str) -> None:
    """Delete a job."""
    given = DELETE.parse(line)
    jobs.delete(given.words[0], owner=given["--owner"])
    say(f"{given.words[0]} is deleted; %promote makes it anew.")


VERBS: dict[str, Any] = {
    "run": run,
    "list": list_,
    "show": show,
    "logs": logs,
    "cancel": cancel,
    "edit": edit,
    "pause": pause,
    "resume": resume,
    "preview": preview,
    "delete": delete,
}

"""``%job runs|rerun|artifacts|lineage|compare|versions|diff|approve|export``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from perijove import jobs
from perijove.jobs.exporting import keep
from perijove.magics.arguments import Command
from perijove.magics.display import Listing, say
from perijove.magics.jobs import changes
from perijove.magics.jobs.lines import take_parameters
from perijove.magics.jobs.tables import (
    artifacts_table,
    lineage_table,
    related_table,
    runs_table,
    versions_table,
)
from perijove.magics.jobs.verbs import OF_A_RUN, OWNER, JobRun, in_a_run, shown

RUNS = Command(
    "%job runs NAME [--state STATE] [--limit N]",
    words=(1, 1),
    flags={"--state": str, "--limit": int, **OWNER},
)
RERUN = Command(
    "%job rerun NAME [--run ID] [--param NAME=VALUE ...] [--latest] [--no-wait]",
    words=(1, 1),
    flags={"--latest": bool, "--no-wait": bool, **OF_A_RUN},
)
ARTIFACTS = Command(
    "%job artifacts NAME [--run ID] [--download DIR] [--notebook FILE]",
    words=(1, 1),
    flags={"--download": str, "--notebook": str, **OF_A_RUN},
)
LINEAGE = Command(
    "%job lineage NAME [--run ID], or %job lineage --dataset NAME | --tracked-run ID | "
    "--model NAME --version N",
    words=(0, 1),
    flags={"--dataset": str, "--tracked-run": str, "--model": str, "--version": int, **OF_A_RUN},
)
COMPARE = Command("%job compare RUN RUN", words=(2, 2))
VERSIONS = Command("%job versions NAME", words=(1, 1), flags=OWNER)
DIFF = Command("%job diff NAME VERSION VERSION", words=(3, 3), flags=OWNER)
APPROVE = Command(
    "%job approve NAME VERSION [--withdraw]", words=(2, 2), flags={"--withdraw": bool, **OWNER}
)

EXPORT = Command(
    "%job export NAME [--version N] [--image IMAGE] [--output FILE]",
    words=(1, 1),
    flags={"--version": int, "--image": str, "--output": str, **OWNER},
)


def runs(line: str) -> Listing:
    """List a job's newest runs."""
    given = RUNS.parse(line)
    found = jobs.runs(
        given.words[0],
        state=given["--state"],
        owner=given["--owner"],
        limit=50 if given["--limit"] is None else given["--limit"],
    )
    return runs_table(found)


def rerun(line: str) -> JobRun | None:
    """Do a run again, with the same or other parameters."""
    rest, texts = take_parameters(line, RERUN)
    given = RERUN.parse(rest)
    name, owner = given.words[0], given["--owner"]
    if in_a_run():
        say(f"This is a job's run: it does not run '{name}'.")
        return None
    started = jobs.rerun(
        name,
        run=given["--run"],
        parameters=jobs.values(name, texts, owner=owner),
        latest=given["--latest"],
        owner=owner,
        wait=False,
    )
    return shown(started, wait=not given["--no-wait"])


def artifacts(line: str) -> Listing:
    """List the files a run left, or save them."""
    given = ARTIFACTS.parse(line)
    name, run, owner = given.words[0], given["--run"], given["--owner"]
    if given["--notebook"]:
        saved_as = jobs.save_notebook(name, Path(given["--notebook"]), run=run, owner=owner)
        say(f"{saved_as} is the run's output notebook.")
    if given["--download"]:
        saved = jobs.download(name, Path(given["--download"]), run=run, owner=owner)
        say(f"{len(saved)} files are in {given['--download']}.")
    return artifacts_table(jobs.artifacts(name, run=run, owner=owner))


def lineage(line: str) -> Listing:
    """Show what a run read and recorded, and its neighbours; or whose run something is from."""
    given = LINEAGE.parse(line)
    if not given.words:
        found = jobs.related(
            dataset=given["--dataset"],
            tracked_run=given["--tracked-run"],
            model=given["--model"],
            version=given["--version"],
        )
        return related_table(found)
    if any(given[flag] for flag in ("--dataset", "--tracked-run", "--model", "--version")):
        raise LINEAGE.wrong("Name a job, or what its runs read or made.")
    return lineage_table(jobs.lineage(given.words[0], run=given["--run"], owner=given["--owner"]))


def compare(line: str) -> changes.Changes:
    """Show what differs between two runs."""
    one, other = COMPARE.parse(line).words
    return changes.of_runs(jobs.compare(one, other))


def versions(line: str) -> Listing:
    """List a job's versions."""
    given = VERSIONS.parse(line)
    return versions_table(jobs.versions(given.words[0], owner=given["--owner"]))


def diff(line: str) -> changes.Changes:
    """Show what changed between two versions."""
    given = DIFF.parse(line)
    name, before, after = given.words
    found = jobs.diff(name, _number(before, DIFF), _number(after, DIFF), owner=given["--owner"])
    return changes.of_versions(name, found)


def approve(line: str) -> None:
    """Approve a version, or take that back."""
    given = APPROVE.parse(line)
    name, number = given.words[0], _number(given.words[1], APPROVE)
    if given["--withdraw"]:
        jobs.disapprove(name, number, owner=given["--owner"])
        say(f"{name}: version {number} is not approved any more.")
    else:
        jobs.approve(name, number, owner=given["--owner"])
        say(f"{name}: version {number} is approved.")


def export(line: str) -> None:
    """Write a version as a DAG of Airflow beside the notebook."""
    given = EXPORT.parse(line)
    name = given.words[0]
    text = jobs.export(
        name, version=given["--version"], image=given["--image"], owner=given["--owner"]
    )
    output = Path(given["--output"] or f"{name}_dag.py")
    keep(text, output)
    say(f"{output} runs {name} in Airflow.")


def _number(text: str, command: Command) -> int:
    if not text.isdecimal():
        raise command.wrong(f"A version is a number, not '{text}'.")
    return int(text)


VERBS: dict[str, Any] = {
    "runs": runs,
    "rerun": rerun,
    "artifacts": artifacts,
    "lineage": lineage,
    "compare": compare,
    "versions": versions,
    "diff": diff,
    "approve": approve,
    "export": export,
}

"""``perijove jobs``: promote notebooks and run them, as the magics do."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from perijove import jobs as api
from perijove.magics.display import Listing
from perijove.types.base import Visibility
from perijove.types.jobs import Job, Run, RunState

#: What moves a cursor or renames a window; colours (SGR) and carriage returns do no harm.
_CONTROLS = re.compile(r"\x1b(?!\[[0-9;]*m)|[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f]")

_AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_OWNER = click.option("--owner", help="Whose job, where several have the name.")


@click.group()
def jobs() -> None:
    """Promote notebooks and run them; PERIJOVE_URL and PERIJOVE_TOKEN say where and who."""


@jobs.command()
@click.argument("notebook", type=click.Path(path_type=Path))
@click.option("--name", help="Made of the file's name if left out.")
@click.option("--schedule", metavar="CRON", help="Five fields, such as '0 6 * * 1-5'.")
@click.option("--timezone", help="IANA name.  [default: UTC]")
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="Of scheduled runs.")
@click.option("--visibility", type=click.Choice(list(Visibility)), help="Who may see it.")
@click.option("--group", help="The group, with --visibility group.")
@click.option("--memory-mb", type=int, help="Limit of a run; the platform's if left out.")
@click.option("--timeout-s", type=int, help="Limit of a run; the platform's if left out.")
@_AS_JSON
def create(
    notebook: Path,
    name: str | None,
    schedule: str | None,
    timezone: str | None,
    params: tuple[str, ...],
    visibility: str | None,
    group: str | None,
    memory_mb: int | None,
    timeout_s: int | None,
    as_json: bool,
) -> None:
    """Make NOTEBOOK a job, or the next version of your job of that name."""
    if not schedule and (timezone or params):
        raise click.UsageError("--timezone and --param are for scheduled runs: add --schedule.")
    inspection = api.inspect(notebook)
    job = api.create(
        notebook,
        name,
        schedule=schedule,
        timezone=timezone or "UTC",
        parameters=api.from_text(inspection.parameters, _pairs(params)),
        visibility=visibility,
        group=group,
        memory_mb=memory_mb,
        timeout_s=timeout_s,
    )
    for warning in inspection.warnings:
        click.echo(warning, err=True)
    if as_json:
        _print_json(job.model_dump(mode="json"))
    else:
        click.echo(f"{job.name} is a job, version {job.latest.version}.")


@jobs.command()
@click.argument("name")
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE")
@click.option("--version", type=click.IntRange(1), help="The latest if left out.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Until it has ended.")
@_OWNER
@_AS_JSON
def run(
    name: str,
    params: tuple[str, ...],
    version: int | None,
    wait: bool,
    owner: str | None,
    as_json: bool,
) -> None:
    """Run the job NAME; the exit status is 1 when the run does not succeed."""
    values = api.values(name, _pairs(params), owner=owner)
    found = api.run(name, parameters=values, version=version, owner=owner, wait=wait)
    _print_runs([found], as_json=as_json, single=True)
    if wait and found.state is not RunState.succeeded:
        sys.exit(1)


@jobs.command("list")
@click.argument("words", nargs=-1)
@click.option("--state", type=click.Choice(list(RunState)), help="State of the last run.")
@_OWNER
@_AS_JSON
def list_(words: tuple[str, ...], state: str | None, owner: str | None, as_json: bool) -> None:
    """List the jobs you may see."""
    found = api.list(" ".join(words), state=state, owner=owner)
    if as_json:
        _print_json([job.model_dump(mode="json") for job in found])
        return
    _print_table(["job", "last run", "version", "schedule", "owner"], [_row(job) for job in found])


@jobs.command()
@click.argument("name")
@_OWNER
@_AS_JSON
def show(name: str, owner: str | None, as_json: bool) -> None:
    """Show the job NAME and its newest runs."""
    job = api.show(name, owner=owner)
    if as_json:
        _print_json(job.model_dump(mode="json"))
        return
    _print_table(["job", "last run", "version", "schedule", "owner"], [_row(job)])
    rows = [
        [
            one.name,
            one.type.value,
            "(required)" if one.required else json.dumps(one.default),
            one.help,
        ]
        for one in job.latest.parameters
    ]
    if rows:
        click.echo()
        _print_table(["parameter", "type", "default", "about"], rows)
    click.echo()
    _print_runs(api.runs(name, owner=owner), as_json=False)


@jobs.command()
@click.argument("name")
@click.option("--run", "run_id", help="The last run if left out.")
@_OWNER
def logs(name: str, run_id: str | None, owner: str | None) -> None:
    """Print the log of the job NAME's last run."""
    for text in api.logs(name, run=run_id, owner=owner):
        # Colours pass; what else a notebook sends to the terminal of whoever reads this does not.
        click.echo(_CONTROLS.sub("\ufffd", text), nl=False)


@jobs.command()
@click.argument("name")
@click.option("--run", "run_id", help="The newest active run if left out.")
@_OWNER
@_AS_JSON
def cancel(name: str, run_id: str | None, owner: str | None, as_json: bool) -> None:
    """Cancel a run of the job NAME."""
    found = api.cancel(name, run=run_id, owner=owner)
    _print_runs([found], as_json=as_json, single=True)


def _pairs(params: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in params:
        name, assigned, value = text.partition("=")
        if not assigned or not name.isidentifier() or name in found:
            raise click.BadParameter(f"'{text}' is not NAME=VALUE, once.", param_hint="--param")
        found[name] = value
    return found


def _row(job: Job) -> list[Any]:
    state = job.last_run.state.value if job.last_run else ""
    schedule = f"{job.schedule.cron} {job.schedule.timezone}" if job.schedule else ""
    return [job.name, state, job.latest.version, schedule, job.owner]


def _print_runs(found: Sequence[Run], *, as_json: bool, single: bool = False) -> None:
    if as_json:
        documents = [run.model_dump(mode="json") for run in found]
        _print_json(documents[0] if single else documents)
        return
    rows = [
        [run.id, run.state.value, f"{run.queued_at:%Y-%m-%d %H:%M}", run.trigger, run.reason or ""]
        for run in found
    ]
    _print_table(["run", "state", "queued (UTC)", "by", "why"], rows)


def _print_table(columns: list[str], rows: list[list[Any]]) -> None:
    click.echo(repr(Listing(columns, rows, empty="Nothing here yet.")))


def _print_json(document: Any) -> None:
    click.echo(json.dumps(document, indent=2))

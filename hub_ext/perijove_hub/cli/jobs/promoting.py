"""``perijove jobs create|edit|pause|resume|preview|delete``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from perijove import jobs as api
from perijove.jobs.inputs import AUTO, INPUTS
from perijove.jobs.settings import POLICY, RESOURCES, SCHEDULE, SHARING
from perijove.magics.display import Card
from perijove.magics.jobs.tables import facts, made, preview_table
from perijove.types.jobs import Job
from perijove_hub.cli.jobs.flags import AS_JSON, OWNER, PARAMS, flags, said, texts
from perijove_hub.cli.jobs.printing import print_json, show


@click.command()
@click.argument("notebook", type=click.Path(path_type=Path))
@click.option("--name", help="Made of the file's name if left out.")
@PARAMS
@flags([*INPUTS, *SCHEDULE, *RESOURCES, *POLICY, *SHARING])
@AS_JSON
def create(
    notebook: Path, name: str | None, params: tuple[str, ...], as_json: bool, **given: Any
) -> None:
    """Make NOTEBOOK a job, or the next version of your job of that name.

    The values of --param are those of scheduled runs.
    """
    settings = said(given)
    inspection = api.inspect(notebook, inputs=settings.get("inputs", AUTO))
    if params:
        settings["parameters"] = api.from_text(inspection.parameters, texts(params))
    job = api.create(notebook, name, **settings)
    for warning in inspection.warnings:
        click.echo(warning, err=True)
    if as_json:
        print_json(job)
    else:
        click.echo(made(job))


@click.command()
@click.argument("name")
@PARAMS
@flags([*SCHEDULE, *RESOURCES, *POLICY, *SHARING])
@click.option("--unschedule", is_flag=True, help="Take its schedule away.")
@OWNER
@AS_JSON
def edit(
    name: str,
    params: tuple[str, ...],
    unschedule: bool,
    owner: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Change the job NAME; what is left out stays as it is, 'none' takes a limit away."""
    settings = said(given)
    if params:
        settings["parameters"] = api.values(name, texts(params), owner=owner)
    job = api.edit(name, owner=owner, unschedule=unschedule, **settings)
    show(job, _card(job), as_json=as_json)


@click.command()
@click.argument("name")
@OWNER
@AS_JSON
def pause(name: str, owner: str | None, as_json: bool) -> None:
    """Let the schedule of the job NAME rest; slots meanwhile are left out."""
    job = api.pause(name, owner=owner)
    show(job, _card(job), as_json=as_json)


@click.command()
@click.argument("name")
@OWNER
@AS_JSON
def resume(name: str, owner: str | None, as_json: bool) -> None:
    """Let the paused schedule of the job NAME go on."""
    job = api.resume(name, owner=owner)
    show(job, _card(job), as_json=as_json)


@click.command()
@flags(SCHEDULE)
@AS_JSON
def preview(as_json: bool, **given: Any) -> None:
    """Show the next ten slots that a schedule would have."""
    found = api.preview(**said(given))
    show(found, preview_table(found), as_json=as_json)


@click.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@OWNER
def delete(name: str, yes: bool, owner: str | None) -> None:
    """Delete the job NAME with its schedule; its active runs are cancelled."""
    if not yes:
        click.confirm(f"Delete the job '{name}'?", abort=True)
    api.delete(name, owner=owner)
    click.echo(f"{name} is deleted.")


def _card(job: Job) -> Card:
    return Card(job.name, facts(job))

"""``perijove jobs runs|rerun|artifacts|lineage|compare|versions|diff|approve|export``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from perijove import jobs as api
from perijove.jobs.exporting import keep
from perijove.magics.jobs.changes import of_runs, of_versions
from perijove.magics.jobs.tables import (
    artifacts_table,
    lineage_table,
    related_table,
    run_card,
    runs_table,
    versions_table,
)
from perijove.types.jobs import ExportTo, RunState
from perijove_hub.cli.jobs.flags import AS_JSON, OWNER, PARAMS, RUN, VERSION, WAIT, texts
from perijove_hub.cli.jobs.printing import show
from perijove_hub.cli.jobs.running import run_followed


@click.command()
@click.argument("name")
@click.option("--state", type=click.Choice(list(RunState)), help="Only those.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)
@OWNER
@AS_JSON
def runs(name: str, state: str | None, limit: int, owner: str | None, as_json: bool) -> None:
    """List the newest runs of the job NAME."""
    found = api.runs(name, state=state, owner=owner, limit=limit)
    show(found, runs_table(found), as_json=as_json)


@click.command()
@click.argument("name")
@RUN
@PARAMS
@click.option("--latest", is_flag=True, help="With the job's latest version.")
@WAIT
@OWNER
@AS_JSON
def rerun(
    name: str,
    run_id: str | None,
    params: tuple[str, ...],
    latest: bool,
    wait: bool,
    owner: str | None,
    as_json: bool,
) -> None:
    """Do the last run of the job NAME again; --param gives the values that are to differ."""
    values = api.values(name, texts(params), owner=owner)
    found = api.rerun(name, run=run_id, parameters=values, latest=latest, owner=owner, wait=False)
    if wait:
        found = run_followed(found)
    show(found, run_card(found), as_json=as_json)
    if wait and found.state is not RunState.succeeded:
        sys.exit(1)


@click.command()
@click.argument("name")
@RUN
@click.option("--download", type=click.Path(path_type=Path), metavar="DIR", help="Save them there.")
@click.option(
    "--notebook", type=click.Path(path_type=Path), metavar="FILE", help="Save its output notebook."
)
@OWNER
@AS_JSON
def artifacts(
    name: str,
    run_id: str | None,
    download: Path | None,
    notebook: Path | None,
    owner: str | None,
    as_json: bool,
) -> None:
    """List the files that the last run of the job NAME left."""
    if notebook is not None:
        click.echo(api.save_notebook(name, notebook, run=run_id, owner=owner), err=True)
    if download is not None:
        for place in api.download(name, download, run=run_id, owner=owner):
            click.echo(place, err=True)
    found = api.artifacts(name, run=run_id, owner=owner)
    show(found, artifacts_table(found), as_json=as_json)


@click.command()
@click.argument("name", required=False)
@RUN
@click.option("--dataset", metavar="NAME", help="The runs that read it.")
@click.option("--tracked-run", metavar="ID", help="The run that logged this run of MLflow.")
@click.option("--model", metavar="NAME", help="The run that made its --version.")
@click.option("--version", type=click.IntRange(1), help="Of the model.")
@OWNER
@AS_JSON
def lineage(
    name: str | None, run_id: str | None, owner: str | None, as_json: bool, **other: Any
) -> None:
    """Show what the last run of the job NAME read and recorded; or whose run something is from."""
    if name is None:
        related = api.related(**other)
        show(related, related_table(related), as_json=as_json)
        return
    if any(value is not None for value in other.values()):
        raise click.UsageError("Name a job, or what its runs read or made.")
    found = api.lineage(name, run=run_id, owner=owner)
    show(found, lineage_table(found), as_json=as_json)


@click.command()
@click.argument("one", metavar="RUN")
@click.argument("other", metavar="RUN")
@AS_JSON
def compare(one: str, other: str, as_json: bool) -> None:
    """Show what differs between two runs, by their ids."""
    found = api.compare(one, other)
    show(found, of_runs(found), as_json=as_json)


@click.command()
@click.argument("name")
@OWNER
@AS_JSON
def versions(name: str, owner: str | None, as_json: bool) -> None:
    """List the versions of the job NAME, newest first."""
    found = api.versions(name, owner=owner)
    show(found, versions_table(found), as_json=as_json)


@click.command()
@click.argument("name")
@click.argument("before", type=click.IntRange(1))
@click.argument("after", type=click.IntRange(1))
@OWNER
@AS_JSON
def diff(name: str, before: int, after: int, owner: str | None, as_json: bool) -> None:
    """Show what changed in the job NAME from the version BEFORE to AFTER."""
    found = api.diff(name, before, after, owner=owner)
    show(found, of_versions(name, found), as_json=as_json)


@click.command()
@click.argument("name")
@click.option("--to", type=click.Choice(list(ExportTo)), default="airflow", show_default=True)
@VERSION
@click.option("--image", help="Instead of the version's, as where another engine pulls it from.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="File to write.")
@OWNER
def export(
    name: str,
    to: str,
    version: int | None,
    image: str | None,
    output: Path | None,
    owner: str | None,
) -> None:
    """Write a version of the job NAME as a DAG of Airflow."""
    text = api.export(name, to=to, version=version, image=image, owner=owner)
    if output is None:
        click.echo(text, nl=False)
        return
    keep(text, output)
    click.echo(f"{output} runs {name} in Airflow.", err=True)


@click.command()
@click.argument("name")
@click.argument("version", type=click.IntRange(1))
@click.option("--withdraw", is_flag=True, help="Take the approval back.")
@OWNER
def approve(name: str, version: int, withdraw: bool, owner: str | None) -> None:
    """Approve a VERSION of the job NAME, for schedules that follow approved ones."""
    if withdraw:
        api.disapprove(name, version, owner=owner)
        click.echo(f"{name}: version {version} is not approved any more.")
    else:
        api.approve(name, version, owner=owner)
        click.echo(f"{name}: version {version} is approved.")

"""``perijove jobs run|list|show|logs|cancel``."""

from __future__ import annotations

import sys

import click

from perijove import jobs as api
from perijove.magics.display import Card
from perijove.magics.jobs.report import RunReport
from perijove.magics.jobs.tables import facts, jobs_table, parameters_table, run_card, runs_table
from perijove.magics.jobs.words import run_progress
from perijove.types.jobs import Run, RunState
from perijove_hub.cli.jobs.flags import AS_JSON, ATTEMPT, OWNER, PARAMS, RUN, VERSION, WAIT, texts
from perijove_hub.cli.jobs.printing import followed, print_json, safe, show
from perijove_hub.cli.jobs.ranges import show_backfill, show_sweep


@click.command()
@click.argument("name")
@PARAMS
@VERSION
@click.option("--priority", type=int, help="The job's if left out.")
@WAIT
@OWNER
@AS_JSON
def run(
    name: str,
    params: tuple[str, ...],
    version: int | None,
    priority: int | None,
    wait: bool,
    owner: str | None,
    as_json: bool,
) -> None:
    """Run the job NAME; the exit status is 1 when the run does not succeed."""
    values = api.values(name, texts(params), owner=owner)
    found = api.run(
        name,
        parameters=values,
        version=version,
        priority=priority,
        owner=owner,
        wait=False,
    )
    if wait:
        found = run_followed(found)
    show(found, run_card(found), as_json=as_json)
    if wait and found.state is not RunState.succeeded:
        sys.exit(1)


def run_followed(run: Run) -> Run:
    """Wait until a run has ended, telling how far it is."""
    left = f"The run goes on: perijove jobs show {run.job} --run {run.id}"
    return followed(lambda look: api.wait(run.id, follow=look), run_progress, left)


@click.command("list")
@click.argument("words", nargs=-1)
@click.option("--state", type=click.Choice(list(RunState)), help="State of the last run.")
@click.option("--sort", metavar="ORDER", help="name, created_at, updated_at; downwards with '-'.")
@OWNER
@AS_JSON
def list_(
    words: tuple[str, ...],
    state: str | None,
    sort: str | None,
    owner: str | None,
    as_json: bool,
) -> None:
    """List the jobs you may see."""
    found = api.list(" ".join(words), state=state, owner=owner, sort=sort)
    show(found, jobs_table(found), as_json=as_json)


@click.command("show")
@click.argument("name")
@click.option("--run", "run_id", metavar="ID", help="Of it, this one, and where it failed.")
@click.option("--backfill", metavar="ID", help="Of it, this one with its slots.")
@click.option("--sweep", metavar="ID", help="Of it, this one with its trials.")
@ATTEMPT
@OWNER
@AS_JSON
def show_(
    name: str,
    run_id: str | None,
    backfill: str | None,
    sweep: str | None,
    attempt: int | None,
    owner: str | None,
    as_json: bool,
) -> None:
    """Show the job NAME and its newest runs, or one of its runs, backfills or sweeps.

    With --attempt it is a try of the last run, or of --run.
    """
    if run_id:
        report = RunReport.of(run_id, attempt=attempt)
        show(report.document, report, as_json=as_json)
        return
    if backfill:
        show_backfill(api.show_backfill(backfill), as_json=as_json)
        return
    if sweep:
        show_sweep(api.show_sweep(sweep), as_json=as_json)
        return
    if attempt is not None:
        report = RunReport.of_last(name, attempt=attempt, owner=owner)
        show(report.document, report, as_json=as_json)
        return
    job = api.show(name, owner=owner)
    if as_json:
        print_json(job)
        return
    for table in (
        Card(job.name, facts(job)),
        parameters_table(job),
        runs_table(api.runs(name, owner=owner), empty="It has not run yet."),
    ):
        click.echo(safe(f"{table!r}\n"))


@click.command()
@click.argument("name")
@RUN
@ATTEMPT
@click.option("--follow", is_flag=True, help="Go on until the run has ended.")
@OWNER
def logs(
    name: str, run_id: str | None, attempt: int | None, follow: bool, owner: str | None
) -> None:
    """Print the log of the job NAME's last run."""
    for text in api.logs(name, run=run_id, attempt=attempt, owner=owner, follow=follow):
        # Colours pass; what else a notebook sends to the terminal of whoever reads this does not.
        click.echo(safe(text), nl=False)


@click.command()
@click.argument("name")
@click.option("--run", "run_id", metavar="ID", help="The newest active run if left out.")
@click.option("--backfill", metavar="ID", help="This backfill with its runs.")
@click.option("--sweep", metavar="ID", help="This sweep with its runs.")
@OWNER
@AS_JSON
def cancel(
    name: str,
    run_id: str | None,
    backfill: str | None,
    sweep: str | None,
    owner: str | None,
    as_json: bool,
) -> None:
    """Cancel a run of the job NAME, or a backfill or sweep with its runs."""
    if backfill:
        show_backfill(api.cancel_backfill(backfill), as_json=as_json)
        return
    if sweep:
        show_sweep(api.cancel_sweep(sweep), as_json=as_json)
        return
    found = api.cancel(name, run=run_id, owner=owner)
    show(found, run_card(found), as_json=as_json)

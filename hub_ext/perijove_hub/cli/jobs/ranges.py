"""``perijove jobs backfill|backfills|sweep|sweeps``."""

from __future__ import annotations

import sys
from typing import Any

import click

from perijove import jobs as api
from perijove.jobs.backfilling import BACKFILL, typed
from perijove.jobs.sweeping import SWEEP, searched
from perijove.magics.jobs.ranges import (
    backfills_table,
    slots_table,
    sweeps_table,
    trials_table,
)
from perijove.magics.jobs.words import backfill_progress, sweep_progress
from perijove.types.backfills import Backfill, SlotState
from perijove.types.sweeps import Sweep
from perijove_hub.cli.jobs.flags import (
    AS_JSON,
    OWNER,
    PARAMS,
    VERSION,
    WAIT,
    flags,
    said,
    texts,
)
from perijove_hub.cli.jobs.printing import followed, show


@click.command()
@click.argument("name")
@flags(BACKFILL)
@PARAMS
@VERSION
@click.option("--reverse", is_flag=True, help="Begin with the last.")
@click.option("--dry-run", is_flag=True, help="Say what it would do, and make nothing.")
@WAIT
@OWNER
@AS_JSON
def backfill(
    name: str,
    params: tuple[str, ...],
    version: int | None,
    reverse: bool,
    dry_run: bool,
    wait: bool,
    owner: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Run the job NAME for each slot from --start up to --end, or each value of a parameter.

    The exit status is 1 when a run of it does not succeed. Ctrl-C ends only the waiting.
    """
    job = api.show(name, owner=owner)
    made = api.backfill(
        name,
        **typed(job, said(given)),
        parameters=api.from_text(job.latest.parameters, texts(params)),
        version=version,
        reverse=reverse,
        dry_run=dry_run,
        owner=owner,
        wait=False,
    )
    if wait and (known := made.id):
        left = f"The backfill goes on: perijove jobs show {name} --backfill {known}"
        made = followed(lambda look: api.wait_backfill(known, follow=look), backfill_progress, left)
    show_backfill(made, as_json=as_json)
    ended_well = (SlotState.succeeded, SlotState.skipped)
    if wait and not dry_run and any(state not in ended_well for state in made.counts):
        sys.exit(1)


@click.command()
@click.argument("name")
@OWNER
@AS_JSON
def backfills(name: str, owner: str | None, as_json: bool) -> None:
    """List the backfills of the job NAME, newest first."""
    found = api.backfills(name, owner=owner)
    show(found, backfills_table(found), as_json=as_json)


@click.command()
@click.argument("name")
@flags(SWEEP)
@PARAMS
@VERSION
@WAIT
@OWNER
@AS_JSON
def sweep(
    name: str,
    params: tuple[str, ...],
    version: int | None,
    wait: bool,
    owner: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Search the parameters of the job NAME for the best value of a metric.

    The exit status is 1 when no trial has a value. Ctrl-C ends only the waiting.
    """
    job = api.show(name, owner=owner)
    made = api.sweep(
        name,
        **searched(job, said(given)),
        parameters=api.from_text(job.latest.parameters, texts(params)),
        version=version,
        owner=owner,
        wait=False,
    )
    if wait:
        known = made.id
        left = f"The sweep goes on: perijove jobs show {name} --sweep {known}"
        made = followed(lambda look: api.wait_sweep(known, follow=look), sweep_progress, left)
    show_sweep(made, as_json=as_json)
    if wait and made.best is None:
        sys.exit(1)


@click.command()
@click.argument("name")
@OWNER
@AS_JSON
def sweeps(name: str, owner: str | None, as_json: bool) -> None:
    """List the sweeps of the job NAME, newest first."""
    found = api.sweeps(name, owner=owner)
    show(found, sweeps_table(found), as_json=as_json)


def show_backfill(found: Backfill, *, as_json: bool) -> None:
    """Print a backfill and its slots."""
    slots = api.slots(found.id) if found.id and not as_json else found.plan
    show(found, slots_table(found, slots), as_json=as_json)


def show_sweep(found: Sweep, *, as_json: bool) -> None:
    """Print a sweep and its trials."""
    trials = [] if as_json else api.trials(found.id)
    show(found, trials_table(found, trials), as_json=as_json)

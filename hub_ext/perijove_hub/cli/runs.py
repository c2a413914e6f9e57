"""``perijove runs``: experiments and their runs, on the command line."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click

from perijove import experiments
from perijove.types.experiments import TrackedRun

_AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def runs() -> None:
    """See tracked runs and compare them."""


@runs.command("list")
@click.argument("experiment", required=False)
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True)
@_AS_JSON
def list_(experiment: str | None, limit: int, as_json: bool) -> None:
    """List the runs of EXPERIMENT, or the experiments."""
    if experiment is not None:
        _show_runs(experiments.runs(experiment, limit=limit), as_json=as_json)
        return
    found = experiments.search(limit=limit)
    if as_json:
        click.echo(json.dumps([item.model_dump(mode="json") for item in found], indent=2))
        return
    rows = [
        [
            item.id,
            item.name,
            str(item.runs),
            f"{item.last_run_at:%Y-%m-%d %H:%M}" if item.last_run_at else "-",
        ]
        for item in found
    ]
    _table(["ID", "EXPERIMENT", "RUNS", "LAST RUN"], rows)


@runs.command()
@click.argument("run_id")
@_AS_JSON
def show(run_id: str, as_json: bool) -> None:
    """Show one run."""
    run = experiments.run(run_id)
    if as_json:
        click.echo(run.model_dump_json(indent=2))
        return
    facts = [
        ["run", f"{run.name} ({run.id})"],
        ["experiment", run.experiment],
        ["user", run.user],
        ["state", run.state],
        ["started", f"{run.started_at:%Y-%m-%d %H:%M:%S}"],
        *([f"param {name}", value] for name, value in sorted(run.parameters.items())),
        *([f"metric {name}", f"{value:g}"] for name, value in sorted(run.metrics.items())),
    ]
    _table(["", ""], facts)


@runs.command()
@click.argument("run_ids", nargs=-1, required=True)
@_AS_JSON
def compare(run_ids: Sequence[str], as_json: bool) -> None:
    """Show runs side by side: their metrics, and the parameters that differ."""
    compared = [experiments.run(run_id) for run_id in run_ids]
    if as_json:
        click.echo(json.dumps([run.model_dump(mode="json") for run in compared], indent=2))
        return
    _table(["", *(run.name for run in compared)], experiments.compare(compared))


def _show_runs(found: Sequence[TrackedRun], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([run.model_dump(mode="json") for run in found], indent=2))
        return
    rows = [
        [
            run.id,
            run.name,
            run.user,
            run.state,
            f"{run.started_at:%Y-%m-%d %H:%M}",
            " ".join(f"{name}={value:g}" for name, value in sorted(run.metrics.items())),
        ]
        for run in found
    ]
    _table(["ID", "RUN", "USER", "STATE", "STARTED", "METRICS"], rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    lines = [list(head), *(list(row) for row in rows)] if any(head) else [list(r) for r in rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))] if lines else []
    for line in lines:
        shown = "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True))
        click.echo(shown.rstrip())

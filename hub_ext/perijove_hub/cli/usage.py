"""``perijove usage``: hours and cost, your own or everybody's for administrators."""

from __future__ import annotations

from datetime import date, datetime

import click

from perijove.client import Client
from perijove.magics.display import Listing
from perijove.types.usage import GroupUsage, UsageBy, UsageReport, UsageSum

_DAY = click.DateTime(formats=["%Y-%m-%d"])


@click.command()
@click.option(
    "--by", type=click.Choice(list(UsageBy)), default="kind", show_default=True, help="Add up by."
)
@click.option("--from", "first", type=_DAY, help="First UTC day, such as 2026-11-01.")
@click.option("--to", "last", type=_DAY, help="Last UTC day; it belongs to it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def usage(by: str, first: datetime | None, last: datetime | None, as_json: bool) -> None:
    """Print hours, GPU-hours and cost; PERIJOVE_URL and PERIJOVE_TOKEN say where and who.

    Without days, the last ones that quotas look at.
    """
    with Client() as client:
        report = client.get(
            UsageReport,
            "/usage",
            # One of them is a word of Python's.
            **{"by": by, "from": _day(first), "to": _day(last)},
        )
    if as_json:
        click.echo(report.model_dump_json(indent=2))
        return
    click.echo(f"{report.first} to {report.last} (UTC)")
    if not report.items:
        click.echo("Nothing ran.")
    else:
        rows = [_row(item) for item in [*report.items, report.total]]
        rows[-1] = ("together", *rows[-1][1:])
        columns = [report.by.value, "hours", "GPU-hours", report.currency]
        click.echo(repr(Listing(columns, rows)))
    for group in report.groups:
        for line in _quotas(group, report.currency):
            click.echo(line)


def _day(at: datetime | None) -> date | None:
    return at.date() if at is not None else None


def _row(item: UsageSum) -> tuple[str, str, str, str]:
    return item.key or "none", f"{item.hours:.2f}", f"{item.gpu_hours:.2f}", f"{item.cost:.2f}"


def _quotas(group: GroupUsage, currency: str) -> list[str]:
    units = {"gpu_hours": "GPU-hours", "cost": currency}
    lines = []
    for one in group.quotas:
        unit = units.get(one.measure, one.measure)
        line = f"Group {group.group} has used {one.used:.2f} of its {one.limit:g} {unit}"
        if one.over and one.below_at is not None:
            line += f"; it is below the limit again on {one.below_at:%Y-%m-%d %H:%M} UTC"
        lines.append(f"{line}.")
    return lines

"""``perijove token``: an API token for scripts."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import click

from perijove_hub.cli.hub_api import HubApi
from perijove_hub.cli.options import data_options


@click.command()
@click.argument("user")
@click.option("--days", type=click.IntRange(1, 365), help="Days until it expires.")
@click.option("--scope", "scopes", multiple=True, help="Only this scope; may be repeated.")
@click.option("--note", default="perijove token", help="Shown on the user's token page.")
@data_options
def token(
    user: str,
    days: int | None,
    scopes: tuple[str, ...],
    note: str,
    data_dir: Path,
    config: Path | None,
) -> None:
    """Print a new API token of USER, and nothing else."""
    hub = HubApi.open(data_dir, config)
    name = quote(user, safe="")
    unknown = f"There is no user '{user}'. Add one with `perijove users add NAME`."
    hub.send("GET", f"/users/{name}", missing=unknown)
    body: dict[str, object] = {"note": note}
    if days:
        body["expires_in"] = days * 86_400
    if scopes:
        body["scopes"] = list(scopes)
    click.echo(hub.send("POST", f"/users/{name}/tokens", body)["token"])

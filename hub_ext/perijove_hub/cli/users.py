"""``perijove users``: accounts of the embedded authenticator."""

from __future__ import annotations

from pathlib import Path

import click

from perijove_hub.cli.hub_api import HubApi
from perijove_hub.cli.options import data_options, fail
from perijove_hub.exceptions import ProblemError
from perijove_hub.hub import accounts


@click.group()
def users() -> None:
    """Manage the embedded accounts."""


@users.command("list")
@data_options
def list_users(data_dir: Path, config: Path | None) -> None:
    """List accounts with their groups."""
    context = HubApi.open(data_dir, config).context
    for row in accounts.every(context.database):
        role = "admin" if row.admin else ""
        click.echo(f"{row.name:<20} {','.join(row.groups):<20} {role}".rstrip())


@users.command()
@click.argument("name")
@click.option("--group", "groups", multiple=True, help="A group to be in; may be repeated.")
@click.option("--admin", is_flag=True, help="May administer the Hub.")
@data_options
def add(
    name: str, groups: tuple[str, ...], admin: bool, data_dir: Path, config: Path | None
) -> None:
    """Add the account NAME and print its password, once."""
    hub = HubApi.open(data_dir, config)
    try:
        password = accounts.ensure(hub.context.database, name, groups=groups, admin=admin)
    except ProblemError as error:
        fail(f"{error.detail} {error.fix or ''}")
    if password is None:
        fail(f"'{name}' exists already; `perijove users reset {name}` makes a new password.")
    if hub.answers():
        # The Hub read the accounts when it started; tell it of this one now.
        hub.send("POST", "/users", {"usernames": [name], "admin": admin})
        known = {group["name"] for group in hub.send("GET", "/groups")}
        for group in groups:
            if group not in known:
                hub.send("POST", f"/groups/{group}")
            hub.send("POST", f"/groups/{group}/users", {"users": [name]})
    click.echo(password)


@users.command()
@click.argument("name")
@data_options
def reset(name: str, data_dir: Path, config: Path | None) -> None:
    """Give NAME a new password and print it, once."""
    context = HubApi.open(data_dir, config).context
    try:
        click.echo(accounts.reset(context.database, name))
    except ProblemError as error:
        fail(f"{error.detail} {error.fix or ''}")

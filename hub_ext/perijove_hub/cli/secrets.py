"""``perijove secrets``: values that runs read and that nobody reads back."""

from __future__ import annotations

import json
import sys

import click

from perijove import secrets as api
from perijove.magics.display import Listing


@click.group()
def secrets() -> None:
    """Keep secrets for your jobs: a parameter declared as perijove.Secret takes one's name."""


@secrets.command("set")
@click.argument("name")
def set_(name: str) -> None:
    """Keep a value as NAME: typed hidden when asked for, or read from standard input.

    It is no argument, because others on this machine can read those.
    """
    if sys.stdin.isatty():
        value = click.prompt("Value", hide_input=True, confirmation_prompt=True)
    else:
        value = sys.stdin.read().removesuffix("\n")
    api.put(name, value)
    click.echo(f"{name} is kept.")


@secrets.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(as_json: bool) -> None:
    """List your secrets, without their values."""
    found = api.list()
    if as_json:
        click.echo(json.dumps([one.model_dump(mode="json") for one in found], indent=2))
        return
    rows = [[one.name, f"{one.updated_at:%Y-%m-%d %H:%M}"] for one in found]
    click.echo(repr(Listing(["secret", "set (UTC)"], rows, empty="No secrets yet.")))


@secrets.command()
@click.argument("name")
def delete(name: str) -> None:
    """Delete the secret NAME; runs that name it do not start any more."""
    api.delete(name)
    click.echo(f"{name} is deleted.")

"""``perijove workspaces``: which run, why they ended, and which sizes there are."""

from __future__ import annotations

import json
from typing import Any

import click

from perijove import workspaces as api
from perijove.magics.display import Listing
from perijove.types.workspaces import Workspace

_AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def workspaces() -> None:
    """See workspaces; PERIJOVE_URL and PERIJOVE_TOKEN say where and who."""


@workspaces.command("list")
@_AS_JSON
def list_(as_json: bool) -> None:
    """List your workspaces; an administrator sees everybody's."""
    found = api.list()
    if as_json:
        _print_json([item.model_dump(mode="json") for item in found])
        return
    rows = [[_name(w), _state(w), w.image or "", w.size or "", w.ending or ""] for w in found]
    empty = "No workspace has run yet: press Start on the Hub's page."
    click.echo(repr(Listing(["workspace", "state", "image", "size", "ending"], rows, empty=empty)))


@workspaces.command()
@click.argument("name", default="")
@_AS_JSON
def show(name: str, as_json: bool) -> None:
    """Show your workspace NAME, a named server or USER/SERVER; the only one if left out."""
    every = api.list()
    found = [w for w in every if name in ("", w.server, _name(w))]
    if len(found) != 1:
        known = ", ".join(map(_name, found or every)) or "none has run yet"
        raise click.BadParameter(f"Name one of: {known}.", param_hint="NAME")
    if as_json:
        _print_json(found[0].model_dump(mode="json"))
        return
    for field, value in found[0].model_dump(mode="json").items():
        if value not in (None, ""):
            click.echo(f"{field.replace('_', ' '):<13} {value}")


@workspaces.command()
@_AS_JSON
def sizes(as_json: bool) -> None:
    """List the sizes you may choose, with the GPUs that are free now."""
    found = api.sizes()
    if as_json:
        _print_json(found.model_dump(mode="json"))
        return
    rows = [
        [s.name, f"{s.cpu:g}", s.memory_mb, f"{s.gpus:g}", f"{s.price:.2f}", s.description]
        for s in found.items
    ]
    columns = ["size", "cores", "MiB", "GPUs", f"{found.currency} an hour", "for"]
    click.echo(repr(Listing(columns, rows, empty="No size is yours.")))
    if found.gpus:
        click.echo(f"{found.free_gpus:g} of {found.gpus} GPUs are free now.")


def _name(workspace: Workspace) -> str:
    return f"{workspace.user}/{workspace.server}".rstrip("/")


def _state(workspace: Workspace) -> str:
    return "running" if workspace.running else "stopped"


def _print_json(document: Any) -> None:
    click.echo(json.dumps(document, indent=2))

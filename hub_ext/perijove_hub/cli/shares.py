"""``perijove shares``: share notebooks, and take what is shared."""

from __future__ import annotations

import json
from pathlib import Path

import click
from pydantic import BaseModel

from perijove import shares as api
from perijove.magics.shares import listing, receiver
from perijove.types.shares import Box

_AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def shares() -> None:
    """Share notebooks; PERIJOVE_URL and PERIJOVE_TOKEN say where and who."""


@shares.command("list")
@click.argument("words", nargs=-1)
@click.option("--box", type=click.Choice(list(Box)), help="Both if left out.")
@_AS_JSON
def list_(words: tuple[str, ...], box: str | None, as_json: bool) -> None:
    """List what was shared with you and what you share."""
    found = api.list(" ".join(words), box=box)
    if as_json:
        click.echo(json.dumps([one.model_dump(mode="json") for one in found], indent=2))
        return
    click.echo(repr(listing(found)))


@shares.command()
@click.argument("notebook", type=click.Path(path_type=Path))
@click.option("--to", help="The user it is for.")
@click.option("--group", help="Or the group, one of yours.")
@click.option("--message", default="")
@click.option("--expires-days", type=click.IntRange(1, 365), default=30, show_default=True)
@_AS_JSON
def send(
    notebook: Path,
    to: str | None,
    group: str | None,
    message: str,
    expires_days: int,
    as_json: bool,
) -> None:
    """Share a copy of NOTEBOOK with a user or a group."""
    if (to is None) == (group is None):
        raise click.UsageError("Say who it is for: either --to USER or --group GROUP.")
    share = api.send(notebook, to=to, group=group, message=message, expires_days=expires_days)
    _say(share, f"{share.name} is shared with {receiver(share)}: {share.id}.", as_json=as_json)


@shares.command()
@click.argument("share")
@click.option("--folder", type=click.Path(path_type=Path), help="'Shared with me' if left out.")
@_AS_JSON
def take(share: str, folder: Path | None, as_json: bool) -> None:
    """Copy SHARE, an id that `perijove shares list` shows, into a folder of yours."""
    taken = api.take(share, folder=folder)
    image = f" It ran in {taken.image}." if taken.image else ""
    _say(taken, f"{taken.path} is your copy of {taken.sender}'s notebook.{image}", as_json=as_json)


@shares.command()
@click.argument("share")
def dismiss(share: str) -> None:
    """See SHARE no more, which was shared with you; a copy that you took stays."""
    api.dismiss(share)
    click.echo(f"{share} is dismissed.")


@shares.command()
@click.argument("share")
def delete(share: str) -> None:
    """Take back SHARE; copies that were taken stay."""
    api.delete(share)
    click.echo(f"{share} is no longer shared.")


def _say(document: BaseModel, sentence: str, *, as_json: bool) -> None:
    click.echo(document.model_dump_json(indent=2) if as_json else sentence)

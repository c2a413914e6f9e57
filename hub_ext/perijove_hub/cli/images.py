"""``perijove images``: build images and decide which start."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from perijove import images as api
from perijove.magics.display import Listing
from perijove.magics.images import progress
from perijove.types.images import Build, BuildState, Image, ImageState, ImageVersion

_AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def images() -> None:
    """Build images and decide which start; PERIJOVE_URL and PERIJOVE_TOKEN say where and who."""


@images.command()
@click.argument("spec", type=click.Path(path_type=Path))
@click.option("--approve", is_flag=True, help="Approve it when its tests pass; administrators.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Until it has ended.")
@_AS_JSON
def build(spec: Path, approve: bool, wait: bool, as_json: bool) -> None:
    """Build the image that the TOML file SPEC describes; the exit status is 1 when it fails."""
    shown: list[str] = []

    def look(seen: Build) -> None:
        line = f"[{seen.state.value}] {progress(seen)}"
        if shown[-1:] != [line]:
            shown.append(line)
            click.echo(line, err=True)

    made = api.build(spec, approve=approve, wait=wait, follow=look)
    if as_json:
        _print_json(made.model_dump(mode="json"))
    elif not wait:
        click.echo(f"{made.image}@{made.version} is queued: perijove images logs {made.image}")
    elif made.state is BuildState.succeeded:
        found = api.version(f"{made.image}@{made.version}")
        click.echo(f"{made.image}@{made.version} is {found.state.value}, {_size(found)}.")
    if wait and made.state is not BuildState.succeeded:
        sys.exit(1)


@images.command("list")
@click.argument("words", nargs=-1)
@click.option("--owner", help="Only whose.")
@click.option("--state", type=click.Choice(list(ImageState)), help="State of the newest version.")
@click.option("--package", help="A package that the current version holds.")
@_AS_JSON
def list_(
    words: tuple[str, ...],
    owner: str | None,
    state: str | None,
    package: str | None,
    as_json: bool,
) -> None:
    """List the images you may see."""
    found = api.list(" ".join(words), owner=owner, state=state, package=package)
    if as_json:
        _print_json([one.model_dump(mode="json") for one in found])
        return
    columns = ["image", "current", "newest", "state", "size", "owner", "visible to"]
    _print_table(columns, [_row(one) for one in found])


@images.command()
@click.argument("name")
@_AS_JSON
def show(name: str, as_json: bool) -> None:
    """Show the image NAME and its versions."""
    image, versions = api.show(name), api.versions(name)
    if as_json:
        shown = [one.model_dump(mode="json") for one in versions]
        _print_json({**image.model_dump(mode="json"), "versions": shown})
        return
    if image.description:
        click.echo(image.description)
    rows = [
        [
            f"{one.version}{' (current)' if one.version == image.current else ''}",
            one.state.value,
            _size(one),
            one.created_by,
            one.approved_by or "",
            _why(one),
        ]
        for one in versions
    ]
    _print_table(["version", "state", "size", "by", "approved by", "why"], rows)


@images.command()
@click.argument("reference", metavar="NAME[@VERSION]")
@click.argument("words", nargs=-1)
@_AS_JSON
def packages(reference: str, words: tuple[str, ...], as_json: bool) -> None:
    """List what is in an image, or what of it has WORDS in its name."""
    found = api.packages(reference, " ".join(words))
    if as_json:
        _print_json([one.model_dump(mode="json") for one in found])
        return
    rows = [[one.name, one.version, one.manager] for one in found]
    _print_table(["package", "version", "from"], rows)


@images.command()
@click.argument("reference", metavar="NAME[@VERSION]")
def spec(reference: str) -> None:
    """Print what an image was built from, for 'perijove images build' to build again."""
    click.echo(api.spec(reference), nl=False)


@images.command()
@click.argument("reference", metavar="NAME@VERSION")
@_AS_JSON
def approve(reference: str, as_json: bool) -> None:
    """Let a tested version start; for administrators."""
    _print_version(reference, api.approve(reference), as_json=as_json)


@images.command()
@click.argument("reference", metavar="NAME@VERSION")
@_AS_JSON
def retire(reference: str, as_json: bool) -> None:
    """Let a version start no more; what runs from it goes on."""
    _print_version(reference, api.retire(reference), as_json=as_json)


@images.command()
@click.argument("name")
@click.argument("version", type=click.IntRange(1))
@_AS_JSON
def rollback(name: str, version: int, as_json: bool) -> None:
    """Make another approved VERSION of NAME the current one."""
    image = api.rollback(name, version)
    if as_json:
        _print_json(image.model_dump(mode="json"))
    else:
        click.echo(f"{image.name} is version {image.current} now.")


@images.command()
@click.argument("reference", metavar="NAME[@VERSION]")
@click.option("--follow", is_flag=True, help="Until the build has ended.")
def logs(reference: str, follow: bool) -> None:
    """Print the log of a build, the newest of NAME if no version is given."""
    for text in api.log(reference, follow=follow):
        click.echo(text, nl=False)


@images.command()
@click.argument("reference", metavar="NAME[@VERSION]")
@_AS_JSON
def cancel(reference: str, as_json: bool) -> None:
    """Cancel a build, the newest of NAME if no version is given."""
    found = api.cancel(reference)
    if as_json:
        _print_json(found.model_dump(mode="json"))
    else:
        click.echo(f"[{found.state.value}] {progress(found)}")


def _row(image: Image) -> list[Any]:
    latest = image.latest
    return [
        image.name,
        image.current or "",
        latest.version,
        latest.state.value,
        _size(latest),
        image.owner,
        image.group if image.visibility.value == "group" else image.visibility.value,
    ]


def _why(version: ImageVersion) -> str:
    if version.removed_at:
        return f"removed from the engine on {version.removed_at:%Y-%m-%d}"
    return (version.build.reason if version.build else None) or version.smoke_test or ""


def _size(version: ImageVersion) -> str:
    return f"{version.size_bytes / 1e9:.2f} GB" if version.size_bytes else ""


def _print_version(reference: str, version: ImageVersion, *, as_json: bool) -> None:
    if as_json:
        _print_json(version.model_dump(mode="json"))
    else:
        click.echo(f"{reference.partition('@')[0]}@{version.version} is {version.state.value}.")


def _print_table(columns: list[str], rows: list[list[Any]]) -> None:
    click.echo(repr(Listing(columns, rows, empty="Nothing here yet.")))


def _print_json(document: Any) -> None:
    click.echo(json.dumps(document, indent=2))

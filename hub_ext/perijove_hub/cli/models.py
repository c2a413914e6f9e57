"""``perijove models``: deploy models and call them, as the magics do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from perijove import models as api
from perijove.magics.display import Listing
from perijove.types.base import Visibility
from perijove.types.models import Deployment, DeploymentState

_AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

_MEDIA = {".csv": "text/csv", ".json": "application/json"}


@click.group()
def models() -> None:
    """Deploy models and call them; PERIJOVE_URL and PERIJOVE_TOKEN say where and who."""


@models.command("list")
@click.argument("words", nargs=-1)
@click.option("--state", type=click.Choice(list(DeploymentState)), help="Only this state.")
@click.option("--registered", is_flag=True, help="Registered models instead of deployments.")
@_AS_JSON
def list_(words: tuple[str, ...], state: str | None, registered: bool, as_json: bool) -> None:
    """List the deployments you may see."""
    if registered:
        _list_registered(" ".join(words), as_json=as_json)
        return
    found = api.list(" ".join(words), state=state)
    if as_json:
        _print_json([item.model_dump(mode="json") for item in found])
        return
    rows = [[d.name, d.model, d.version, d.state.value, d.owner, d.visibility.value] for d in found]
    _print_table(["name", "model", "version", "state", "owner", "visible to"], rows)


@models.command()
@click.argument("model")
@click.option("--version", type=click.IntRange(1), required=True, help="Which version.")
@click.option("--name", help="Name in the URL; made of the model's if left out.")
@click.option("--visibility", type=click.Choice(list(Visibility)), help="Who may call it.")
@click.option("--group", help="The group, with --visibility group.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Until it answers.")
@_AS_JSON
def deploy(
    model: str,
    version: int,
    name: str | None,
    visibility: str | None,
    group: str | None,
    wait: bool,
    as_json: bool,
) -> None:
    """Serve a version of MODEL under a stable URL, or move your deployment to it."""
    deployment = api.deploy(model, version, name=name, visibility=visibility, group=group)
    if wait:
        deployment = api.wait(deployment.name)
    _print_deployment(deployment, as_json=as_json)


@models.command()
@click.argument("name")
@_AS_JSON
def show(name: str, as_json: bool) -> None:
    """Show the deployment NAME."""
    _print_deployment(api.show(name), as_json=as_json)


@models.command()
@click.argument("name")
def undeploy(name: str) -> None:
    """Stop serving the deployment NAME."""
    api.undeploy(name)
    click.echo(f"{name} is being undeployed; its URL no longer answers.")


@models.command()
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def score(name: str, file: Path) -> None:
    """Send FILE (.json in MLflow's scoring protocol, or .csv) to NAME and print the answer."""
    media = _MEDIA.get(file.suffix.lower())
    if media is None:
        raise click.BadParameter(f"{file.name} is neither .json nor .csv.", param_hint="FILE")
    _print_json(api.score(name, file.read_bytes(), content_type=media))


@models.command()
@click.argument("name")
def logs(name: str) -> None:
    """Print the log of your deployment NAME."""
    offset = 0
    while True:
        chunk = api.logs(name, offset=offset)
        if not chunk.text:
            return
        click.echo(chunk.text, nl=False)
        offset = chunk.next_offset


def _list_registered(words: str, *, as_json: bool) -> None:
    found = api.registered(words)
    if as_json:
        _print_json([item.model_dump(mode="json") for item in found])
        return
    rows = [
        [m.name, v.version, v.user, ", ".join(v.aliases), ", ".join(v.deployed_as)]
        for m in found
        for v in m.versions
    ]
    _print_table(["model", "version", "by", "aliases", "deployed as"], rows)


def _print_deployment(deployment: Deployment, *, as_json: bool) -> None:
    if as_json:
        _print_json(deployment.model_dump(mode="json"))
        return
    _print_table(
        ["name", "model", "version", "state", "url"],
        [
            [
                deployment.name,
                deployment.model,
                deployment.version,
                deployment.state.value,
                deployment.url,
            ]
        ],
    )
    if deployment.reason:
        click.echo(deployment.reason)


def _print_table(columns: list[str], rows: list[list[Any]]) -> None:
    click.echo(repr(Listing(columns, rows, empty="Nothing here yet.")))


def _print_json(document: Any) -> None:
    click.echo(json.dumps(document, indent=2))

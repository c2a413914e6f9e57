"""``perijove setup`` and ``perijove teardown``: once before, and once after, the parts run.

For supervisors other than ``perijove up``, which does both itself.
"""

from __future__ import annotations

from pathlib import Path

import click

from perijove_hub.cli.options import data_options, fail
from perijove_hub.context import Context
from perijove_hub.engine.exceptions import EngineDown
from perijove_hub.exceptions import ProblemError
from perijove_hub.paths import DataDirError
from perijove_hub.settings import SettingsError
from perijove_hub.up.exceptions import StartError


@click.command()
@click.option("--url", required=True, help="Where people reach Perijove: https://HOST[:PORT].")
@data_options
def setup(url: str, data_dir: Path, config: Path | None) -> None:
    """Prepare database, network and images for the parts, with workspaces in Docker.

    May be run again at any time, also while the parts run.
    """
    from perijove_hub.store.migrate import MigrationError

    try:
        context = Context.open(data_dir, config.absolute() if config else None)
        _setup(context, url.rstrip("/"))
    except (SettingsError, DataDirError, MigrationError, StartError, EngineDown) as error:
        fail(error)
    except ProblemError as error:
        fail(f"{error.detail} {error.fix or ''}")


def _setup(context: Context, url: str) -> None:
    from perijove_hub.engine import Names, firewall, network, ready
    from perijove_hub.store.migrate import upgrade
    from perijove_hub.up import builtin
    from perijove_hub.up.parts import lay_out

    reason = ready.why_not()
    if reason:
        raise StartError(reason)
    names = Names.of(context.data.root)
    host = network.ensure(names)
    path = context.data.run / "topology.json"
    before = context.topology if path.exists() else None
    if before and (before.public_url, before.host) == (url, host):
        # The parts may be running: their ports are theirs, and so not free.
        topology = before
    else:
        topology = lay_out(context, public_url=url, spawner="docker")
        topology.save(path)
    firewall.enforce(names, topology, context.settings.network.allow)
    upgrade(context.database)
    for image in builtin.register(context):
        click.echo(f"image {image} is offered")
    click.echo(f"Perijove is set up for {url} in {context.data.root}")


@click.command()
@data_options
def teardown(data_dir: Path, config: Path | None) -> None:
    """Stop every workspace, run and replica, and remove their network; no data are lost.

    Stop the parts first, or they start things again.
    """
    try:
        context = Context.open(data_dir, config.absolute() if config else None)
        _teardown(context)
    except (SettingsError, DataDirError, StartError, EngineDown) as error:
        fail(error)
    except FileNotFoundError:
        fail(f"Perijove was never set up in {data_dir}. Check --data-dir.")


def _teardown(context: Context) -> None:
    from perijove_hub.engine import Names, firewall, network
    from perijove_hub.engine.client import connect, reaching
    from perijove_hub.worker import stop_all

    names = Names.of(context.data.root)
    stop_all(context)
    client = connect()
    try:
        with reaching():
            label = [f"{key}={value}" for key, value in names.labels.items()]
            for container in client.containers.list(all=True, filters={"label": label}):
                container.remove(force=True)
    finally:
        client.close()
    if not network.remove(names):
        raise StartError(f"a container is still on the network {names.network}. Try again.")
    firewall.lift(names)
    click.echo("Nothing of Perijove is left on the engine but its images.")

"""``perijove up``: the whole product on this machine."""

from __future__ import annotations

import time
from pathlib import Path

import click

from perijove_hub.cli.options import data_options, fail
from perijove_hub.context import Context
from perijove_hub.paths import DataDirError
from perijove_hub.settings import SettingsError
from perijove_hub.up.exceptions import StartError


@click.command()
@data_options
@click.option("--port", type=click.IntRange(1, 65535), help="Port for browsers.  [default: 8000]")
@click.option("--demo", is_flag=True, help="Add users ada and grace, a data source, a tutorial.")
@click.option(
    "--spawner",
    type=click.Choice(["local", "docker"]),
    help="How workspaces run.  [default: docker where it can be used, else local]",
)
def up(
    data_dir: Path, config: Path | None, port: int | None, demo: bool, spawner: str | None
) -> None:
    """Start everything on this machine and keep it running until Ctrl-C."""
    from perijove_hub.store.migrate import MigrationError

    began = time.monotonic()
    config = config.absolute() if config else None
    try:
        context = Context.open(data_dir, config)
        _up(context, port=port, demo=demo, spawner=spawner, began=began)
    except (SettingsError, DataDirError, MigrationError, StartError) as error:
        fail(error)


def _up(
    context: Context, *, port: int | None, demo: bool, spawner: str | None, began: float
) -> None:
    from perijove_hub.up.closed import closed_network
    from perijove_hub.up.lock import sole_supervisor
    from perijove_hub.up.part import end_leftover
    from perijove_hub.up.parts import LOOPBACK, lay_out
    from perijove_hub.up.ports import claim
    from perijove_hub.up.proxy import check_version, find_proxy

    settings, data = context.settings, context.data
    spawner = _choose_spawner(spawner or settings.hub.spawner)
    proxy = find_proxy(settings)
    check_version(proxy)
    with sole_supervisor(data.run / "up.lock"):
        for pid_file in data.run.glob("*.json"):
            if pid_file.name != "topology.json":
                end_leftover(pid_file)
        port = claim(LOOPBACK, port or settings.hub.port)
        public_url = f"http://{LOOPBACK}:{port}"
        topology = lay_out(context, public_url=public_url, spawner=spawner)
        topology.save(data.run / "topology.json")
        context = Context.open(data.root, context.config)
        click.echo(f"Perijove keeps its state in {data.root}")
        with closed_network(context):
            passwords = _prepare(context, demo=demo)
            if topology.spawner == "local":
                from perijove_hub.hub.spawner import WARNING

                click.secho(f"  {WARNING}", fg="yellow")
            _run(context, proxy=proxy, passwords=passwords, began=began)


def _prepare(context: Context, *, demo: bool) -> dict[str, str]:
    """Bring the database up to date; return the passwords of accounts made now."""
    from perijove_hub.hub import accounts
    from perijove_hub.store.migrate import upgrade
    from perijove_hub.up.demo import make_demo

    upgrade(context.database)
    if context.topology.spawner == "docker":
        # Docker's client takes a while to import, and local mode does without.
        from perijove_hub.up import builtin

        for image in builtin.register(context):
            click.echo(f"  image {image} is offered")
    passwords = make_demo(context) if demo else {}
    if not accounts.every(context.database) or (demo and "ada" in passwords):
        admin = accounts.ensure(context.database, "admin", admin=True)
        passwords = {**({"admin": admin} if admin else {}), **passwords}
    return passwords


def _choose_spawner(asked: str | None) -> str:
    """Return how workspaces run, and say why when nobody has decided. Raises ``StartError``."""
    if asked == "local":
        return asked
    from perijove_hub.engine.ready import why_not

    reason = why_not()
    if asked is None:
        click.echo(
            f"Without Docker, because {reason}"
            if reason
            else "With Docker: an engine with our images answers. --spawner local does without."
        )
    elif reason:
        raise StartError(f"--spawner docker: {reason}")
    return "local" if reason else "docker"


def _run(
    context: Context,
    *,
    proxy: list[str],
    passwords: dict[str, str],
    began: float,
) -> None:
    from perijove_hub.up.parts import make_parts
    from perijove_hub.up.supervisor import Supervisor

    parts = make_parts(context, proxy=proxy)
    supervisor = Supervisor(context, parts, click.echo)
    supervisor.handle_signals()
    try:
        supervisor.start()
        _announce(context.topology.public_url, passwords, time.monotonic() - began)
        supervisor.watch()
    finally:
        click.echo("Stopping…")
        supervisor.stop()
        click.echo("Stopped.")


def _announce(url: str, passwords: dict[str, str], seconds: float) -> None:
    click.echo(f"  everything answers after {seconds:.1f} s")
    click.secho(f"Perijove is ready at {url}/", bold=True)
    if passwords:
        click.echo("Log in as one of these; the passwords are shown only now:")
        for name, password in passwords.items():
            click.echo(f"  {name:<8} {password}")
    else:
        click.echo("Log in as before; `perijove users reset NAME` makes a new password.")
    click.echo("Ctrl-C stops everything it started.")

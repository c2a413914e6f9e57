"""The parts one by one, for supervisors other than ``perijove up``."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import click

from perijove_hub.cli.options import EX_CONFIG, data_options, fail
from perijove_hub.context import Context, Topology
from perijove_hub.paths import DataDirError
from perijove_hub.settings import SettingsError


class _Entries(logging.Formatter):
    """Sets in the further lines of a message: what it quotes of strangers passes for no entry."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Write the message without control characters."""
        from perijove_hub.launch import plain

        message = super().formatMessage(record)
        return plain.text(message, len(message)).replace("\n", "\n    ")


def _open(data_dir: Path, config: Path | None) -> Context:
    handler = logging.StreamHandler()
    handler.setFormatter(_Entries("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # Its INFO lines hold whole URLs of every request.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        context = Context.open(data_dir, config)
        context.topology  # noqa: B018 - fails here rather than at the first request
    except (SettingsError, DataDirError) as error:
        fail(error, EX_CONFIG)
    except FileNotFoundError:
        fail(
            f"{data_dir} has no run/topology.json. Run `perijove setup`, or call "
            "configure(c) in jupyterhub_config.py and start the Hub first.",
            EX_CONFIG,
        )
    return context


def _serve(app: Any, host: str, port: int) -> None:
    import uvicorn

    uvicorn.run(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
        # Whoever is held up by a slow kernel answers no pings, and is not gone for that.
        ws_ping_timeout=None,
    )


@click.command()
@data_options
def api(data_dir: Path, config: Path | None) -> None:
    """Serve the control plane's API."""
    context = _open(data_dir, config)
    from perijove_hub.api.app import create_app

    _serve(create_app(context), context.topology.host, context.topology.api_port)


@click.command()
@data_options
def mlflow(data_dir: Path, config: Path | None) -> None:
    """Serve MLflow behind the Hub's identity."""
    context = _open(data_dir, config)
    from perijove_hub.experiments.database import MlflowDatabaseError
    from perijove_hub.experiments.server import create_mlflow

    try:
        app = create_mlflow(context)
    except MlflowDatabaseError as error:
        fail(error, EX_CONFIG)
    _serve(app, context.topology.host, context.topology.mlflow_port)


@click.command()
@data_options
def gateway(data_dir: Path, config: Path | None) -> None:
    """Serve the model gateway."""
    context = _open(data_dir, config)
    from perijove_hub.models.gateway import create_gateway

    _serve(create_gateway(context), context.topology.host, context.topology.gateway_port)


@click.command()
@data_options
@click.option(
    "--runs-only",
    is_flag=True,
    help="Carry out job runs, and never lead: no deployments, kernels, builds and the like.",
)
def worker(data_dir: Path, config: Path | None, runs_only: bool) -> None:
    """Run the scheduler and the reconcilers."""
    context = _open(data_dir, config)
    from perijove_hub.worker import run

    run(context, runs_only=runs_only)


@click.command()
@data_options
def hub(data_dir: Path, config: Path | None) -> None:
    """Serve the Hub."""
    context = _open(data_dir, config)
    from perijove_hub.up.parts import hub_command, proxy_api_url

    environment = {
        "PERIJOVE_DATA_DIR": str(context.data.root),
        "PERIJOVE_PROXY_API_URL": proxy_api_url(context.topology),
    }
    if config:
        environment["PERIJOVE_CONFIG"] = str(config.absolute())
    _become(hub_command(), environment)


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("--topology", type=_FILE, required=True, help="topology.json of the data directory.")
@click.option("--token", type=_FILE, required=True, help="Its secrets/proxy.")
@click.option("--certificate", type=_FILE, required=True, help="PEM, with its chain.")
@click.option("--key", type=_FILE, required=True, help="PEM.")
@click.option("--port", type=click.IntRange(1, 65535), default=443, show_default=True)
@click.option("--http-port", type=click.IntRange(1, 65535), default=80, show_default=True)
def proxy(
    topology: Path, token: Path, certificate: Path, key: Path, port: int, http_port: int
) -> None:
    """Serve people with TLS on every address; what comes without it is sent there.

    It sees the two files of the data directory that it needs and no other.
    """
    from perijove_hub.settings import Settings
    from perijove_hub.up.exceptions import StartError
    from perijove_hub.up.parts import proxy_options
    from perijove_hub.up.proxy import find_proxy

    try:
        command = find_proxy(Settings())
    except StartError as error:
        fail(error, EX_CONFIG)
    options = [
        f"--port={port}",
        f"--redirect-port={http_port}",
        f"--ssl-cert={certificate}",
        f"--ssl-key={key}",
        *proxy_options(Topology.load(topology)),
    ]
    # Through the environment of the process alone: neither its arguments nor the container's
    # settings show it.
    _become([*command, *options], {"CONFIGPROXY_AUTH_TOKEN": token.read_text(encoding="ascii")})


def _become(command: list[str], environment: dict[str, str]) -> None:
    """Go on as another program, which then gets the supervisor's signals itself."""
    os.execvpe(command[0], command, {**os.environ, **environment})  # noqa: S606

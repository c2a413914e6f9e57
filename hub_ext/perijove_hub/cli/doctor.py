"""``perijove doctor``: what is missing on this machine, and the exact fix."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from perijove_hub.cli.options import data_options
from perijove_hub.paths import DataDir, DataDirError
from perijove_hub.settings import Settings, SettingsError, load

#: GiB below which a first job or model may fill the disk.
LEAST_DISK = 2.0


@dataclass(frozen=True)
class Finding:
    """One check: ``ok``, ``warning`` or ``missing``, with the fix when it is not ok."""

    check: str
    state: str
    detail: str
    fix: str = ""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to check.  [default: 8000]")
@data_options
def doctor(as_json: bool, port: int | None, data_dir: Path, config: Path | None) -> None:
    """Check that Perijove can run here; status 1 when something it needs is missing."""
    findings = list(examine(data_dir, config, port=port))
    if as_json:
        import json

        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        colours = {"ok": "green", "warning": "yellow", "missing": "red"}
        for finding in findings:
            state = click.style(f"{finding.state:<8}", fg=colours[finding.state])
            click.echo(f"{state} {finding.check:<12} {finding.detail}")
            if finding.fix:
                click.echo(f"{'':<22} → {finding.fix}")
    if any(finding.state == "missing" for finding in findings):
        sys.exit(1)


def examine(data_dir: Path, config: Path | None, *, port: int | None) -> Iterator[Finding]:
    """Yield every finding; no check stops the next."""
    settings = Settings()
    try:
        settings = load(config)
        yield Finding("settings", "ok", str(config) if config else "defaults")
    except SettingsError as error:
        yield Finding("settings", "missing", str(error), "Mend the file named here.")
    yield _packages()
    yield _node()
    yield _proxy(settings)
    yield _port(port or settings.hub.port, data_dir)
    yield from _data(data_dir)
    yield _docker(needed=settings.hub.spawner == "docker")
    yield from _gpus(settings)
    yield from _quotas(settings, data_dir)


def _packages() -> Finding:
    needed = ("jupyterhub", "jupyterlab", "fastapi", "sqlalchemy", "mlflow", "papermill")
    missing = []
    for name in needed:
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        fix = "pip install 'perijove[hub,workspace,kernel]'"
        return Finding("packages", "missing", f"not installed: {', '.join(missing)}", fix)
    return Finding("packages", "ok", f"{len(needed)} of {len(needed)}")


def _node() -> Finding:
    from perijove_hub.up.exceptions import StartError
    from perijove_hub.up.proxy import find_node

    try:
        node = find_node()
    except StartError as error:
        return Finding("node", "missing", "no 'node' on PATH", str(error))
    version = subprocess.run([node, "--version"], capture_output=True, text=True).stdout.strip()
    return Finding("node", "ok", f"{node} {version}")


def _proxy(settings: Settings) -> Finding:
    from perijove_hub.up.exceptions import StartError
    from perijove_hub.up.proxy import check_version, find_proxy

    try:
        command = find_proxy(settings)
        return Finding("proxy", "ok", f"{command[0]} {check_version(command)}")
    except StartError as error:
        return Finding("proxy", "missing", "configurable-http-proxy cannot run", str(error))


def _port(port: int, data_dir: Path) -> Finding:
    from perijove_hub.up.exceptions import StartError
    from perijove_hub.up.part import leftover
    from perijove_hub.up.ports import claim

    if leftover(data_dir / "run" / "proxy.json") and _served_port(data_dir) == port:
        return Finding("port", "ok", f"{port}: Perijove runs here")
    try:
        claim("127.0.0.1", port)
    except StartError as error:
        return Finding("port", "missing", f"{port} is taken", str(error))
    return Finding("port", "ok", f"{port} is free")


def _served_port(data_dir: Path) -> int:
    from perijove_hub.context import Topology

    topology = Topology.load(data_dir / "run" / "topology.json")
    return int(topology.public_url.rsplit(":", 1)[1])


def _data(data_dir: Path) -> Iterator[Finding]:
    try:
        DataDir.open(data_dir)
    except DataDirError as error:
        yield Finding("data", "missing", f"{data_dir} cannot be used", str(error))
        return
    yield Finding("data", "ok", f"{data_dir} can be written")
    free = shutil.disk_usage(data_dir).free / 2**30
    fix = f"Free some space, or choose another --data-dir: below {LEAST_DISK:g} GiB runs fail."
    state = "ok" if free >= LEAST_DISK else "warning"
    yield Finding("disk", state, f"{free:.1f} GiB free", "" if state == "ok" else fix)


def _docker(*, needed: bool) -> Finding:
    bad = "missing" if needed else "warning"
    client = shutil.which("docker")
    if client is None:
        fix = "Install Docker Engine for --spawner docker; local workspaces do without."
        return Finding("docker", bad, "no 'docker' on PATH", fix)
    answer = subprocess.run(
        [client, "info", "--format", "{{.ServerVersion}}"], capture_output=True, text=True
    )
    if answer.returncode:
        fix = "Start it (systemctl start docker) for --spawner docker; local ones do without."
        return Finding("docker", bad, "the Docker engine does not answer", fix)
    from perijove_hub.engine.ready import why_not

    engine = f"engine {answer.stdout.strip()}"
    if reason := why_not():
        return Finding("docker", bad, f"{engine} cannot be used", reason)
    return Finding("docker", "ok", f"{engine}, with our images and a firewall")


def _gpus(settings: Settings) -> Iterator[Finding]:
    from perijove_hub.gpus import inventory

    try:
        found = {device.id: device for device in inventory.look(settings.gpus)}
    except inventory.Unknown as error:
        fix = "Mend the driver: until then the GPUs stay as they were last known."
        yield Finding("gpus", "warning", str(error), fix)
        return
    for name in set(settings.gpus.devices or []) - found.keys():
        fix = "Take it from [gpus] devices, or look at what `nvidia-smi -L` lists."
        yield Finding("gpus", "warning", f"there is no GPU '{name}'", fix)
    if found:
        yield Finding("gpus", "ok", ", ".join(one.model or one.id for one in found.values()))


def _quotas(settings: Settings, data_dir: Path) -> Iterator[Finding]:
    """Name the groups with a quota that nobody is in: most likely they are misspelt."""
    never_ran = settings.store.database is None and not (data_dir / "perijove.sqlite").exists()
    if not settings.usage.quotas or never_ran:
        return
    from sqlalchemy.exc import SQLAlchemyError

    from perijove_hub.store import Database
    from perijove_hub.usage.quotas import unknown_groups

    database = Database(DataDir(data_dir).database_url(settings))
    try:
        with database.reading() as session:
            unknown = unknown_groups(session, settings)
    except SQLAlchemyError:
        # What else is wrong with it is said where it is used.
        return
    finally:
        database.close()
    for name, near in unknown.items():
        fix = f"Did you mean '{near}'?" if near else "Add users to it, or take its quota away."
        yield Finding("quotas", "warning", f"nobody is in the group '{name}'", fix)

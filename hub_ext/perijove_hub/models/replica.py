"""One replica as a workload: how to start it, and what it says of itself."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import httpx

from perijove_hub.context import Context
from perijove_hub.engine import Mount
from perijove_hub.launch import Kind, Launcher, Status, Workload, plain
from perijove_hub.launch.http import NO_TLS
from perijove_hub.store.models import DeploymentRow, ReplicaRow

#: The file in the workload's directory in which a replica says where it listens, or what failed.
ANNOUNCE = "replica.json"
#: Its exit status when it cannot load the model; see ``perijove.replica.__main__``.
CANNOT_LOAD = 3

#: Only the gateway may reach a replica, which asks nobody who they are: a process listens on
#: loopback, a container where only its host reaches it.
LOOPBACK = "127.0.0.1"
#: Where a container finds the model's files, and listens.
MODEL, PORT = "/model", 8080

_LOG_BYTES = 64 * 1024


def workload_name(deployment: DeploymentRow, generation: int, attempt: int) -> str:
    """Name the workload, so that starting one attempt twice collides."""
    return f"replica-{deployment.id}-{generation}-{attempt}"


def workload(
    context: Context, deployment: DeploymentRow, row: ReplicaRow, *, model: Path, image: str | None
) -> Workload:
    """Describe the process: it gets the model's files and no credentials at all."""
    environment = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    contained = context.topology.spawner == "docker"
    # A path of this machine says nothing inside a container.
    if not contained and (path := os.environ.get("PYTHONPATH")):
        environment["PYTHONPATH"] = path
    return Workload(
        name=row.workload,
        kind=Kind.service,
        command=(
            "python",
            "-m",
            "perijove.replica",
            *("--model", MODEL if contained else str(model)),
            *("--host", "0.0.0.0" if contained else LOOPBACK),  # noqa: S104
            *("--port", str(PORT if contained else 0)),
            *("--announce", ANNOUNCE),
            *("--name", row.workload),
        ),
        environment=environment,
        image=image,
        mounts=(Mount(str(model.absolute()), MODEL, read_only=True),),
        memory_mb=context.settings.models.memory_mb,
        labels={"kind": "replica", "id": deployment.id, "attempt": str(row.attempt)},
    )


def announced(launcher: Launcher, name: str) -> dict[str, str]:
    """Read what the replica wrote: ``address`` or ``error``; empty before it did."""
    try:
        # As long as a path may be and an error is cut; the model's code may have written it.
        document = json.loads(plain.read(launcher.directory(name) / ANNOUNCE, 0, 65536) or b"")
    except (ValueError, KeyError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def address(launcher: Launcher, status: Status) -> str | None:
    """Return where the replica answers, or ``None`` as long as it does not.

    Only the port is taken from what it wrote, and of a container not even that: a model's code
    could write anything there.
    """
    name = status.name
    _, _, port = str(announced(launcher, name).get("address", "")).rpartition(":")
    if not port.isdigit() or not 1024 <= int(port) <= 65535:
        return None
    found = f"{status.address}:{PORT}" if status.address else f"{LOOPBACK}:{port}"
    return found if asyncio.run(_answers(found, name)) else None


async def _answers(address: str, name: str) -> bool:
    """Tell whether a replica is there, in two seconds at most and without its answer's body.

    A model's code may be what answers: byte by byte, or without an end.
    """
    headers = {"perijove-replica": name}
    try:
        async with (
            asyncio.timeout(2),
            httpx.AsyncClient(trust_env=False, verify=NO_TLS) as client,
            client.stream("GET", f"http://{address}/ping", headers=headers) as response,
        ):
            return response.status_code == 200
    except (httpx.HTTPError, TimeoutError):
        return False


def cause(launcher: Launcher, status: Status, *, memory_mb: int) -> str:
    """Say in a sentence why a replica ended."""
    if status.cause == "memory":
        return f"The replica used more than its {memory_mb} MiB of memory"
    if error := announced(launcher, status.name).get("error"):
        return f"The model could not be loaded: {plain.text(error, 500)}"
    if status.cause == "stopped":
        return "The replica was stopped"
    if status.exit_code is None:
        return "The replica vanished"
    how = f"signal {-status.exit_code}" if status.exit_code < 0 else f"status {status.exit_code}"
    last = _last_line(launcher, status.name)
    return f"The replica ended with {how}" + (f" after: {last}" if last else "")


def _last_line(launcher: Launcher, name: str) -> str:
    """Return the last line of the log that is not blank, cut to a readable length."""
    offset, tail = 0, b""
    while True:
        chunk, following = launcher.logs(name, offset, _LOG_BYTES)
        if not chunk:
            break
        offset, tail = following, (tail + chunk)[-_LOG_BYTES:]
    lines = [line for line in tail.decode("utf-8", errors="replace").splitlines() if line.strip()]
    return plain.text(lines[-1].strip(), 300) if lines else ""

"""One replica as a workload: how to start it, and what it says of itself."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import httpx

from perijove_hub.context import Context
from perijove_hub.launch import Kind, Launcher, Status, Workload
from perijove_hub.store.models import DeploymentRow, ReplicaRow

#: The file in the workload's directory in which a replica says where it listens, or what failed.
ANNOUNCE = "replica.json"
#: Its exit status when it cannot load the model; see ``perijove.replica.__main__``.
CANNOT_LOAD = 3

#: Only the gateway may reach a replica, which asks nobody who they are. In Docker mode
#: workspaces reach ``topology.host``.
LOOPBACK = "127.0.0.1"

_LOG_BYTES = 64 * 1024


def workload_name(deployment: DeploymentRow, generation: int, attempt: int) -> str:
    """Name the workload, so that starting one attempt twice collides."""
    return f"replica-{deployment.id}-{generation}-{attempt}"


def workload(context: Context, deployment: DeploymentRow, row: ReplicaRow, model: Path) -> Workload:
    """Describe the process: it gets the model's files and no credentials at all."""
    environment = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    if path := os.environ.get("PYTHONPATH"):
        environment["PYTHONPATH"] = path
    return Workload(
        name=row.workload,
        kind=Kind.service,
        command=(
            sys.executable,
            "-m",
            "perijove.replica",
            *("--model", str(model)),
            *("--host", LOOPBACK),
            *("--port", "0"),
            *("--announce", ANNOUNCE),
            *("--name", row.workload),
        ),
        environment=environment,
        memory_mb=context.settings.models.memory_mb,
        labels={"kind": "replica", "id": deployment.id, "attempt": str(row.attempt)},
    )


def announced(launcher: Launcher, name: str) -> dict[str, str]:
    """Read what the replica wrote: ``address`` or ``error``; empty before it did."""
    try:
        document = json.loads((launcher.directory(name) / ANNOUNCE).read_bytes())
    except (OSError, ValueError, KeyError):
        return {}
    return document if isinstance(document, dict) else {}


def address(launcher: Launcher, name: str) -> str | None:
    """Return where the replica answers, or ``None`` as long as it does not.

    Only the port is taken from what it wrote: a model's code could write anything there.
    """
    _, _, port = str(announced(launcher, name).get("address", "")).rpartition(":")
    if not port.isdigit() or not 1024 <= int(port) <= 65535:
        return None
    found = f"{LOOPBACK}:{port}"
    try:
        response = httpx.get(
            f"http://{found}/ping",
            headers={"perijove-replica": name},
            timeout=2,
            trust_env=False,
        )
    except httpx.HTTPError:
        return None
    return found if response.status_code == 200 else None


def cause(launcher: Launcher, status: Status, *, memory_mb: int) -> str:
    """Say in a sentence why a replica ended."""
    if status.cause == "memory":
        return f"The replica used more than its {memory_mb} MiB of memory"
    if error := announced(launcher, status.name).get("error"):
        return f"The model could not be loaded: {error[:500]}"
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
    return lines[-1].strip()[:300] if lines else ""

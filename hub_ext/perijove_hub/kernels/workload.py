"""A remote kernel as a workload: which process, with which environment, on which port."""

from __future__ import annotations

import hashlib
import hmac
import os
import socket
import sys

from perijove_hub import files
from perijove_hub.context import Context
from perijove_hub.engine.sandbox import HOME
from perijove_hub.files.homes import folder_name, local_homes
from perijove_hub.images.service import Started
from perijove_hub.launch import Kind, Workload
from perijove_hub.settings import SizeSettings
from perijove_hub.store.models import KernelRow

#: The port in a container; each has a network of its own.
PORT = 9100
LOOPBACK = "127.0.0.1"
#: Its exit status when the port is taken; see ``perijove.kernels.inside``.
PORT_TAKEN = 98
#: Seconds a kernel has to run what it registered with ``atexit``.
GRACE = 5.0


def workload_name(kernel_id: str, attempt: int) -> str:
    """Name the workload, so that starting one attempt twice collides."""
    return f"kernel-{kernel_id}-{attempt}"


def secret(context: Context, row: KernelRow) -> str:
    """Derive what the container's port asks for, so that it is stored nowhere."""
    key = context.data.secret("kernels").encode()
    return hmac.new(key, f"{row.id}:{row.attempt}".encode(), hashlib.sha256).hexdigest()


def choose_port(context: Context) -> int:
    """Return the port to listen on; on a shared machine, one that is free now."""
    if context.topology.spawner == "docker":
        return PORT
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def describe(
    context: Context,
    row: KernelRow,
    *,
    size: SizeSettings,
    gpus: list[str],
    groups: list[str],
) -> Workload:
    """Describe the process of a kernel's attempt; raises ``FilesError``."""
    in_container = context.topology.spawner == "docker"
    topology = context.topology.inside
    environment = {
        "USER": row.user,
        "LOGNAME": row.user,
        "JUPYTERHUB_USER": row.user,
        "PERIJOVE_PUBLIC_URL": topology.public_url,
        "PERIJOVE_URL": topology.api_url,
        "PERIJOVE_SERVE_URL": topology.gateway_url,
        "MLFLOW_TRACKING_URI": topology.mlflow_url,
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    }
    if in_container:
        # What is promoted, deployed or frozen here has this image, and not the server's.
        environment.update(Started(row.digest, row.image).environment)
    # The launcher gives containers a home of its own, and Python looks for the user's packages
    # in the one it is started with.
    python = ("env", f"HOME={HOME}", "python") if in_container else (sys.executable,)
    if not in_container:
        environment["HOME"] = str(local_homes(context) / folder_name(row.user))
        # No engine hides the others' devices from a local process.
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
        if path := os.environ.get("PYTHONPATH"):
            environment["PYTHONPATH"] = path
    # Before gids(), which asks the folders that this makes.
    mounts = tuple(files.mounts(context, user=row.user, groups=groups)) if in_container else ()
    return Workload(
        name=workload_name(row.id, row.attempt),
        kind=Kind.service,
        command=(
            *python,
            "-m",
            "perijove.kernels.inside",
            *("--ip", "0.0.0.0" if in_container else LOOPBACK),  # noqa: S104 - of its own network
            *("--port", str(row.ports[0])),
        ),
        environment=environment,
        secrets={"PERIJOVE_KERNEL_SECRET": secret(context, row)},
        image=row.digest or None,
        memory_mb=size.memory_mb,
        cpu=size.cpu,
        gpus=tuple(gpus),
        mounts=mounts,
        groups=tuple(files.gids(context, groups=groups)) if in_container else (),
        grace_s=GRACE,
        labels={
            "kind": "kernel",
            "id": row.id,
            "attempt": str(row.attempt),
            "user": row.user,
        },
    )

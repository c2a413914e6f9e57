"""A run as a workload: which process, with which environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from perijove.types.jobs import Resources
from perijove_hub.context import Topology
from perijove_hub.images.service import Started
from perijove_hub.jobs import scratch
from perijove_hub.jobs.names import workload_name
from perijove_hub.launch import Kind, Workload
from perijove_hub.store.models import RunRow

#: Seconds between SIGTERM and SIGKILL: five for the cell to end, the rest to save.
GRACE = 15.0


def describe(
    run: RunRow,
    *,
    job: str,
    folder: Path,
    image: Started | None,
    limits: Resources,
    disk_mb: int,
    topology: Topology,
    token: str,
    secrets: Mapping[str, str],
    experiment: str | None = None,
    old: bool = False,
) -> Workload:
    """Describe the process of a run's next attempt; only containers have an ``image``.

    ``secrets`` are further variables of its environment that are written nowhere; MLflow's runs
    that name no other experiment go into ``experiment``. An ``old`` runner gets the flags alone
    that every one has known: it has no limits of its own, and no folder apart from its files'.
    """
    flags = () if old else _flags(limits)
    return Workload(
        name=workload_name(run.id, run.attempt),
        kind=Kind.task,
        command=(
            "python",
            "-m",
            "perijove.runner",
            scratch.NOTEBOOK,
            *("--parameters", scratch.PARAMETERS),
            *("--output", scratch.OUTPUT),
            *("--events", scratch.EVENTS),
            *flags,
        ),
        environment={
            **_environment(run, job=job, topology=topology.inside),
            **({"MLFLOW_EXPERIMENT_NAME": experiment} if experiment else {}),
            **(image.environment if image else {}),
        },
        secrets={"PERIJOVE_TOKEN": token, "MLFLOW_TRACKING_TOKEN": token, **secrets},
        directory=folder,
        image=image.digest if image else None,
        disk_mb=disk_mb,
        memory_mb=limits.memory_mb,
        timeout_s=limits.timeout_s,
        grace_s=GRACE,
        labels={"kind": "run", "id": run.id, "attempt": str(run.attempt)},
    )


def _flags(limits: Resources) -> tuple[str, ...]:
    return (
        *("--work", scratch.WORK),
        *("--metrics", scratch.METRICS),
        *(("--cell-timeout", str(limits.cell_timeout_s)) if limits.cell_timeout_s else ()),
        *(("--max-output-mb", str(limits.max_output_mb)) if limits.max_output_mb else ()),
    )


def _environment(run: RunRow, *, job: str, topology: Topology) -> dict[str, str]:
    environment = {
        # What MLflow and others take for the user's name.
        "USER": run.owner,
        "LOGNAME": run.owner,
        "JUPYTERHUB_USER": run.owner,
        "PERIJOVE_PUBLIC_URL": topology.public_url,
        "PERIJOVE_URL": topology.api_url,
        "PERIJOVE_SERVE_URL": topology.gateway_url,
        "MLFLOW_TRACKING_URI": topology.mlflow_url,
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PERIJOVE_RUN_ID": run.id,
        "PERIJOVE_JOB": job,
    }
    if run.tracking_parent:
        environment["PERIJOVE_PARENT_RUN"] = run.tracking_parent
    # A path of this machine says nothing inside a container.
    if topology.spawner == "local" and (path := os.environ.get("PYTHONPATH")):
        environment["PYTHONPATH"] = path
    return environment

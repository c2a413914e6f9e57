"""What every workspace finds in its environment, however it is spawned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from perijove_hub.context import Topology


def workspace_environment(topology: Topology) -> dict[str, str | Callable[[Any], str]]:
    """Return ``Spawner.environment``: addresses, and MLflow's token from the server's own.

    Values may be callables of the spawner, as JupyterHub allows. The MLflow client reads
    its token from a variable of its own, so the same token stands under both names.
    """
    topology = topology.inside
    return {
        "PERIJOVE_PUBLIC_URL": topology.public_url,
        "PERIJOVE_URL": topology.api_url,
        "PERIJOVE_SERVE_URL": topology.gateway_url,
        "MLFLOW_TRACKING_URI": topology.mlflow_url,
        "MLFLOW_TRACKING_TOKEN": lambda spawner: str(spawner.api_token),
        # Progress bars write a line per step where no terminal redraws them.
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    }

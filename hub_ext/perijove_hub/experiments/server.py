"""MLflow's own application, set up and put behind ``Front``."""

from __future__ import annotations

import os
import warnings
from typing import Any
from urllib.parse import urlsplit

from starlette.types import ASGIApp

from perijove_hub.context import Context
from perijove_hub.experiments import database
from perijove_hub.experiments.front import Front


def create_mlflow(context: Context) -> ASGIApp:
    """Build MLflow behind the Hub's identity; once in a process, because MLflow is global.

    Raises ``MlflowDatabaseError`` before anything is served.
    """
    url = database.database_url(context)
    database.prepare(url)
    _configure(context, url)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="starlette.middleware.wsgi is deprecated")
        from mlflow.server.fastapi_app import app
        from mlflow.server.handlers import initialize_backend_stores
    initialize_backend_stores(url, url, ARTIFACT_ROOT)
    # Only now does a new database file exist.
    database.prepare(url)
    return Front(context, app, open_workspace=_open_workspace)


ARTIFACT_ROOT = "mlflow-artifacts:/"


def _configure(context: Context, url: str) -> None:
    """Set the environment MLflow reads; nothing of the operator's shell is left in it."""
    for name in [name for name in os.environ if name.lstrip("_").startswith("MLFLOW_")]:
        del os.environ[name]
    public = urlsplit(context.topology.public_url)
    own = [
        f"{seen.host}:{seen.mlflow_port}" for seen in (context.topology, context.topology.inside)
    ]
    os.environ.update(
        {
            "_MLFLOW_SERVER_FILE_STORE": url,
            "_MLFLOW_SERVER_REGISTRY_STORE": url,
            "_MLFLOW_SERVER_ARTIFACT_ROOT": ARTIFACT_ROOT,
            "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(database.folder(context) / "artifacts"),
            "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
            "MLFLOW_ENABLE_WORKSPACES": "true",
            "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(_hosts(public.netloc, *own)),
            "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": f"{public.scheme}://{public.netloc}",
            # A version's files lie in our own store and no other address is ever opened. MLflow
            # does not check the run of "runs:/"; its clients resolve that themselves.
            "MLFLOW_CREATE_MODEL_VERSION_SOURCE_VALIDATION_REGEX": (
                "^(mlflow-artifacts:/(?!/)|models:/)"
            ),
            # What runs code or calls out.
            "MLFLOW_ENABLE_AI_GATEWAY": "false",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_SERVER_JOB_ENABLE_PERIODIC_TASKS": "false",
            "MLFLOW_SERVER_ENABLE_CUSTOM_SCORERS": "false",
            "MLFLOW_ENABLE_REMOTE_ASSISTANT": "false",
            "MLFLOW_ENABLE_ASSISTANT_SANDBOX": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "true",
        }
    )


def _hosts(*known: str) -> list[str]:
    """Names under which MLflow may be called, with the ports people and workloads use."""
    ports = {name.rpartition(":")[2] for name in known if ":" in name}
    local = [f"{host}:{port}" for host in ("localhost", "127.0.0.1") for port in sorted(ports)]
    return list(dict.fromkeys([*known, *local]))


def _open_workspace(name: str, create: bool) -> str | None:
    """Return the id of the workspace's default experiment, which is made where it lacks.

    ``None`` when there is no such workspace and it is not to be made either.
    """
    from mlflow.entities import Workspace
    from mlflow.exceptions import MlflowException
    from mlflow.server.handlers import _get_tracking_store
    from mlflow.server.workspace_helpers import _get_workspace_store
    from mlflow.utils.workspace_context import ServerWorkspaceContext

    workspaces = _get_workspace_store()
    try:
        workspaces.get_workspace(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        if not create:
            return None
        _create(workspaces, Workspace(name=name))
    store = _get_tracking_store()
    with store.ManagedSessionMaker(read_only=False) as session:
        store._create_default_experiment(session, workspace_override=name)
    with ServerWorkspaceContext(name):
        return str(store.get_experiment_by_name("Default").experiment_id)


def _create(workspaces: Any, workspace: Any) -> None:
    from mlflow.exceptions import MlflowException

    try:
        workspaces.create_workspace(workspace)
    except MlflowException as error:
        # Two first requests at once.
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise

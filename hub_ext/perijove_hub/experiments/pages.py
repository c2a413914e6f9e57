"""What the front answers itself: MLflow's start page for this caller, and their workspaces."""

from __future__ import annotations

import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from starlette.responses import HTMLResponse, JSONResponse, Response

from perijove.types.base import Principal
from perijove_hub.experiments.workspaces import workspaces_of

#: Where MLflow's pages keep what a person chose, and what is right here until they do.
_CHOICES = {
    "mlflow.workflowType_v1": '"machine_learning"',
    # There is no assistant here that could open by itself, and nothing is collected.
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true",
    "mlflow.telemetry.info.alert.dismissed_v1": "true",
    "mlflow.settings.telemetry.enabled_v1": "false",
}
_WORKSPACE = "mlflow.activeWorkspace"

_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
}


def answer(method: str, path: str, principal: Principal) -> Response | None:
    """Return what needs no MLflow, or ``None``; ``path`` is without the service's prefix."""
    if method not in ("GET", "HEAD") or principal.kind == "service":
        return None
    own = workspaces_of(principal)
    if path == "/":
        return HTMLResponse(_start_page(own), headers=_HEADERS)
    if path == "/ajax-api/2.0/mlflow/gateway-proxy":
        # The page of an experiment asks, and shows an error unless there are none.
        return JSONResponse({"endpoints": []})
    for root in ("/api/3.0/mlflow/workspaces", "/ajax-api/3.0/mlflow/workspaces"):
        if path == root:
            return JSONResponse({"workspaces": [{"name": name} for name in own]})
        if path.removeprefix(f"{root}/") in own:
            return JSONResponse({"workspace": {"name": path.removeprefix(f"{root}/")}})
    return None


def _start_page(own: list[str]) -> str:
    """Return MLflow's page, opening in a workspace of the caller's.

    Without one it forgets where a link leads and asks; with the one of whoever sat here before
    it shows nothing but errors. Workspace names need no escaping: letters, digits, hyphens.
    """
    script = (
        f"const own={json.dumps(own)},choices={json.dumps(_CHOICES)};"
        f'if(!own.includes(localStorage.getItem("{_WORKSPACE}")))'
        f'localStorage.setItem("{_WORKSPACE}",own[0]);'
        "for(const[key,value]of Object.entries(choices))"
        "if(localStorage.getItem(key)===null)localStorage.setItem(key,value);"
    )
    return _mlflows_page().replace("<head>", f"<head><script>{script}</script>", 1)


@cache
def _mlflows_page() -> str:
    spec = find_spec("mlflow")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("mlflow")
    return (Path(spec.origin).parent / "server/js/build/index.html").read_text(encoding="utf-8")

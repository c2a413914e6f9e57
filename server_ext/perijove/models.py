"""Models from Python: ``deploy``, ``list``, ``show``, ``undeploy``, ``predict``.

Everything goes through the control plane and the gateway, as whoever the environment says.
"""

from __future__ import annotations

import base64
import builtins
import json
import math
import os
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx

from perijove.client import Client, own_token, problem_from
from perijove.environment import image as here
from perijove.exceptions import ApiError, PerijoveError, Unreachable
from perijove.types.base import Visibility
from perijove.types.jobs import LogChunk
from perijove.types.models import Deployment, DeploymentCreate, DeploymentState, Model

__all__ = ["deploy", "list", "logs", "predict", "registered", "show", "undeploy", "wait"]

#: Seconds a prediction may take.
TIMEOUT = httpx.Timeout(600, connect=10)
#: Seconds between two looks at a deployment that is starting.
PERIOD = 0.5
#: Seconds after ``ready`` within which the gateway, too, must know.
ROUTED = 15.0


class DeploymentFailed(PerijoveError):
    """A deployment did not become ready; ``str()`` has the reason."""


def deploy(
    model: str,
    version: int,
    *,
    name: str | None = None,
    visibility: str | None = None,
    group: str | None = None,
    image: str | None = None,
) -> Deployment:
    """Serve a version of a registered model, or move your deployment of that name to it.

    Returns at once, usually with ``state`` ``starting``; ``wait`` waits until it answers.
    ``visibility`` is ``private``, ``group`` or ``everyone``; left out, a new deployment is
    private and an existing one stays as it is. ``image`` is what its replicas start from,
    ``NAME`` or ``NAME@VERSION``: if left out, what this runs in.
    """
    body = DeploymentCreate(
        model=model,
        version=version,
        name=name,
        visibility=Visibility(visibility) if visibility else None,
        group=group,
        image=image or here(),
    )
    with Client() as client:
        return client.post(Deployment, "/deployments", body)


def wait(
    name: str,
    *,
    timeout: float = 900,
    follow: Callable[[Deployment], None] = lambda deployment: None,
) -> Deployment:
    """Wait until a deployment answers; ``follow`` is called with each look at it.

    Raises ``DeploymentFailed`` when it fails, or is not ready after ``timeout`` seconds.
    """
    deadline = time.monotonic() + timeout
    with Client() as client:
        while True:
            deployment = client.get(Deployment, _path(name))
            follow(deployment)
            if deployment.state is DeploymentState.ready:
                break
            if deployment.state is not DeploymentState.starting:
                raise DeploymentFailed(
                    f"'{name}' is {deployment.state.value}. {deployment.reason or ''}".strip()
                )
            if time.monotonic() > deadline:
                raise DeploymentFailed(
                    f"'{name}' is not ready after {timeout:g} s. {deployment.reason or ''}".strip()
                )
            time.sleep(PERIOD)
    _await_route(deployment)
    return deployment


def list(q: str = "", *, state: str | None = None) -> builtins.list[Deployment]:  # noqa: A001
    """Return the deployments you may see, by name."""
    with Client() as client:
        return builtins.list(client.pages(Deployment, "/deployments", q=q or None, state=state))


def registered(q: str = "") -> builtins.list[Model]:
    """Return the registered models you may see, with their versions, by name."""
    with Client() as client:
        return builtins.list(client.pages(Model, "/models", q=q or None))


def show(name: str) -> Deployment:
    """Return one deployment."""
    with Client() as client:
        return client.get(Deployment, _path(name))


def undeploy(name: str) -> None:
    """Stop serving; the URL answers 404 from now on."""
    with Client() as client:
        client.delete(_path(name))


def logs(name: str, *, offset: int = 0) -> LogChunk:
    """Read your deployment's log from byte ``offset``."""
    with Client() as client:
        return client.get(LogChunk, f"{_path(name)}/logs", offset=offset)


def predict(name: str, data: Any, *, params: dict[str, Any] | None = None) -> Any:
    """Call a deployed model.

    ``data`` is a DataFrame, a list of dicts (rows), a dict of columns, or an array for models
    that take tensors. Returns a numpy array when every prediction is a plain value, otherwise a
    list. Raises ``ApiError`` that names the column and row at fault.
    """
    body = {**_body(data), **({"params": params} if params else {})}
    content = json.dumps(body, default=_plain).encode()
    answer = score(name, content)["predictions"]
    if isinstance(answer, builtins.list) and all(
        isinstance(item, bool | int | float | str) for item in answer
    ):
        import numpy as np

        return np.asarray(answer)
    return answer


def score(name: str, content: bytes, *, content_type: str = "application/json") -> Any:
    """Send a body of MLflow's scoring protocol as it is and return the answer, parsed."""
    return _call(name, "invocations", content=content, content_type=content_type).json()


def _call(
    name: str, verb: str, *, content: bytes | None = None, content_type: str = ""
) -> httpx.Response:
    headers = {"Authorization": f"Bearer {own_token()}"}
    if content is not None:
        headers["Content-Type"] = content_type
    url = f"{_base(name)}/{quote(name, safe='')}/{verb}"
    try:
        response = httpx.request(
            "GET" if content is None else "POST",
            url,
            content=content,
            headers=headers,
            timeout=TIMEOUT,
            trust_env=False,
        )
    except httpx.TransportError as error:
        raise Unreachable(f"The gateway at {url} did not answer ({error}).") from error
    if not response.is_success:
        raise ApiError(problem_from(response))
    return response


def _base(name: str) -> str:
    """Return where the gateway is: as the environment says, or as the deployment's URL does."""
    if base := os.environ.get("PERIJOVE_SERVE_URL"):
        return base.rstrip("/")
    return show(name).url.rsplit("/", 2)[0]


def _await_route(deployment: Deployment) -> None:
    """Wait until the gateway sends callers to the version that has just become ready.

    It reads its routes twice a second. One that cannot be reached from here is not waited for.
    """
    deadline = time.monotonic() + ROUTED
    while time.monotonic() < deadline:
        try:
            answer = _call(deployment.name, "ping")
        except Unreachable:
            return
        except ApiError as error:
            if error.problem.status not in (404, 503):
                return
        else:
            if answer.headers.get("perijove-model-version") == str(deployment.version):
                return
        time.sleep(0.1)


def _body(data: Any) -> dict[str, Any]:
    if hasattr(data, "to_dict") and hasattr(data, "columns"):
        split = data.to_dict(orient="split")
        rows = [[_present(value) for value in row] for row in split["data"]]
        return {
            "dataframe_split": {"columns": [str(name) for name in split["columns"]], "data": rows}
        }
    if isinstance(data, builtins.list) and data and isinstance(data[0], dict):
        records = [{key: _present(value) for key, value in row.items()} for row in data]
        return {"dataframe_records": records}
    if isinstance(data, dict):
        return {"inputs": {name: _column(values) for name, values in data.items()}}
    return {"inputs": data}


def _column(values: Any) -> Any:
    if hasattr(values, "tolist"):
        values = values.tolist()
    return [_present(value) for value in values] if isinstance(values, builtins.list) else values


def _present(value: Any) -> Any:
    """Turn a missing value into None: JSON has no NaN."""
    if isinstance(value, float) and math.isnan(value):
        return None
    return None if type(value).__name__ in ("NAType", "NaTType") else value


def _plain(value: Any) -> Any:
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode("ascii")
    raise TypeError(f"{type(value).__name__} cannot be sent to a model")


def _path(name: str) -> str:
    return f"/deployments/{quote(name, safe='')}"

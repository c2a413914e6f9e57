"""The few calls of MLflow's REST API that tracking needs, without MLflow's client.

That client takes seconds to import and, with a dead server, minutes to give up.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from perijove.exceptions import NotConfigured, PerijoveError

#: Marks a run with the key its kernel chose, so that a repeated create finds it.
KEY_TAG = "perijove.key"
#: Has MLflow's pages show runs and charts first, not traces of language models.
_KIND = {"mlflow.experimentKind": "custom_model_development"}


class Outage(PerijoveError):
    """MLflow does not answer, or does not know us now; worth another try."""


class Rejected(PerijoveError):
    """MLflow will never take this; ``str()`` is its reason."""

    def __init__(self, reason: str, code: str = "") -> None:
        super().__init__(reason)
        self.code = code


class MlflowApi:
    """One user's connection; safe to use from several threads.

    Every method raises ``Outage`` or ``Rejected``.
    """

    def __init__(self, uri: str, token: str | None, *, timeout: float = 20) -> None:
        self.uri = uri.rstrip("/")
        self.token = token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if workspace := os.environ.get("MLFLOW_WORKSPACE"):
            headers["X-MLFLOW-WORKSPACE"] = workspace
        self._http = httpx.Client(
            base_url=self.uri,
            headers=headers,
            timeout=httpx.Timeout(timeout, connect=3),
            trust_env=False,
        )

    @classmethod
    def from_environment(cls) -> MlflowApi:
        """Connect as a workspace's environment says. Raises ``NotConfigured``."""
        uri = os.environ.get("MLFLOW_TRACKING_URI", "")
        if urlsplit(uri).scheme not in ("http", "https"):
            raise NotConfigured(
                "MLFLOW_TRACKING_URI names no server, so there is nowhere to track to. Inside a "
                "workspace it is set for you; elsewhere export "
                "MLFLOW_TRACKING_URI=http://HOST:8000/services/mlflow and MLFLOW_TRACKING_TOKEN."
            )
        names = ("MLFLOW_TRACKING_TOKEN", "PERIJOVE_TOKEN", "JUPYTERHUB_API_TOKEN")
        return cls(uri, next((os.environ[name] for name in names if os.environ.get(name)), None))

    def link(self, experiment_id: str, run_id: str, artifact_uri: str) -> str:
        """Return the address of a run's page, in its workspace."""
        found = re.search("/workspaces/([^/]+)/", artifact_uri)
        workspace = f"?workspace={found[1]}" if found else ""
        # A browser may not reach MLflow where this process does.
        public = os.environ.get("PERIJOVE_PUBLIC_URL")
        base = f"{public}/services/mlflow" if public else self.uri
        return f"{base}/#/experiments/{experiment_id}/runs/{run_id}{workspace}"

    def experiment(self, name: str) -> str:
        """Return the id of the experiment, which is made if there is none."""
        for _ in range(2):
            try:
                found = self._call(
                    "GET", "experiments/get-by-name", params={"experiment_name": name}
                )
                return str(found["experiment"]["experiment_id"])
            except Rejected as error:
                if error.code != "RESOURCE_DOES_NOT_EXIST":
                    raise
            try:
                made = self._post("experiments/create", name=name, tags=_pairs(_KIND))
                return str(made["experiment_id"])
            except Rejected as error:
                # Somebody else made it in between.
                if error.code != "RESOURCE_ALREADY_EXISTS":
                    raise
        raise Outage(f"Experiment '{name}' comes and goes.")

    def find_run(self, experiment_id: str, key: str) -> dict[str, Any] | None:
        """Return the run that was created with ``key``."""
        answer = self._post(
            "runs/search",
            experiment_ids=[experiment_id],
            filter=f"tags.`{KEY_TAG}` = '{key}'",
            max_results=1,
        )
        runs = answer.get("runs", [])
        return runs[0] if runs else None

    def create_run(
        self, experiment_id: str, *, name: str | None, started: int, tags: dict[str, str]
    ) -> dict[str, Any]:
        """Start a run and return it as MLflow describes it."""
        body: dict[str, Any] = {
            "experiment_id": experiment_id,
            "start_time": started,
            "tags": _pairs(tags),
        }
        if name:
            body["run_name"] = name
        made: dict[str, Any] = self._post("runs/create", **body)["run"]
        return made

    def log_batch(self, run_id: str, **content: list[dict[str, Any]]) -> None:
        """Log metrics, params and tags; sending them again changes nothing."""
        self._post("runs/log-batch", run_id=run_id, **content)

    def end_run(self, run_id: str, *, status: str, ended: int) -> None:
        """Mark a run as ended."""
        self._post("runs/update", run_id=run_id, status=status, end_time=ended)

    def upload(self, artifact_uri: str, name: str, source: Path) -> None:
        """Store a file below a run's artifacts."""
        root = urlsplit(artifact_uri).path.strip("/")
        path = quote(f"{root}/{name}")
        size = source.stat().st_size
        self._answer(
            "PUT",
            f"/api/2.0/mlflow-artifacts/artifacts/{path}",
            content=_chunks(source),
            headers={"Content-Length": str(size)},
            timeout=httpx.Timeout(300, connect=3),
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _post(self, call: str, **body: Any) -> dict[str, Any]:
        return self._call("POST", call, json=body)

    def _call(self, method: str, call: str, **content: Any) -> dict[str, Any]:
        answer = self._answer(method, f"/api/2.0/mlflow/{call}", **content)
        try:
            read: dict[str, Any] = answer.json()
        except ValueError:
            raise Outage("Something other than MLflow answers.") from None
        return read

    def _answer(self, method: str, path: str, **content: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **content)
        except httpx.TransportError as error:
            raise Outage(f"MLflow does not answer ({type(error).__name__}).") from error
        if response.is_success:
            return response
        if response.status_code in (401, 403, 408, 429) or response.status_code >= 500:
            raise Outage(f"MLflow answers with HTTP {response.status_code}.")
        try:
            problem = response.json()
        except ValueError:
            problem = {}
        reason = problem.get("message") or f"HTTP {response.status_code}"
        raise Rejected(str(reason), str(problem.get("error_code", "")))


def _pairs(items: dict[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in items.items()]


def _chunks(source: Path) -> Iterator[bytes]:
    with source.open("rb") as file:
        while chunk := file.read(1 << 20):
            yield chunk

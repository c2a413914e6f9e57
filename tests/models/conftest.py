"""The loop's last part, for real: Hub, MLflow with models in it, API, duty, replicas, gateway."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from perijove_hub.context import Context
from perijove_hub.launch import Phase
from perijove_hub.launch.local import LocalLauncher
from perijove_hub.models.duty import DeploymentDuty
from perijove_hub.models.gateway import create_gateway
from tests.fixtures.api import Api, served
from tests.fixtures.hub import Hub
from tests.fixtures.mlflow import Mlflow
from tests.fixtures.processes import pythonpath, wait_until

with warnings.catch_warnings():
    # MLflow warns of its own type hints while it is imported.
    warnings.simplefilter("ignore")
    import mlflow.pyfunc  # noqa: F401


@pytest.fixture(scope="session")
def registry(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mlflow]:
    """MLflow with ada's models in the workspace of her group, research."""
    folder = tmp_path_factory.mktemp("registry")
    with Mlflow.running(hub, folder) as mlflow:
        answer = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("register.py"))],
            env={
                "PATH": "/usr/bin:/bin",
                "HOME": str(folder),
                "MLFLOW_TRACKING_URI": mlflow.url,
                "MLFLOW_TRACKING_TOKEN": hub.token("ada"),
                "MLFLOW_DISABLE_TELEMETRY": "true",
            },
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert answer.returncode == 0, answer.stderr
        yield mlflow


@dataclass
class Serving:
    """Everything between a registered model and its caller."""

    api: Api
    gateway_url: str
    duty: DeploymentDuty
    launcher: LocalLauncher

    @property
    def context(self) -> Context:
        return self.api.context

    def as_user(self, user: str | None, **more: Any) -> httpx.Client:
        """A client of the gateway."""
        token = more.get("token") or (self.api.hub.token(user) if user else None)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        # Without TLS: reading certificates would take 20 ms of work for each client.
        return httpx.Client(
            base_url=self.gateway_url, headers=headers, timeout=60, trust_env=False, verify=False
        )

    def deploy(self, user: str, model: str, version: int = 1, **more: Any) -> httpx.Response:
        """Ask for a deployment."""
        with self.api.client(user) as client:
            return client.post("/deployments", json={"model": model, "version": version, **more})

    def show(self, name: str) -> dict[str, Any]:
        """What the administrator sees of a deployment; empty when there is none."""
        with self.api.client("admin") as client:
            answer = client.get(f"/deployments/{name}")
        return dict(answer.json()) if answer.status_code == 200 else {}

    def until(self, condition: Callable[[], object], *, what: str, seconds: float = 60) -> None:
        """Tick until ``condition`` holds."""

        def look() -> object:
            self.duty.tick()
            return condition()

        wait_until(look, seconds=seconds, what=what)

    def ready(self, user: str, model: str, version: int = 1, **more: Any) -> str:
        """Deploy and wait until it answers; returns its name."""
        answer = self.deploy(user, model, version, **more)
        assert answer.status_code in (200, 201), answer.text
        name = str(answer.json()["name"])
        self.until(lambda: self.show(name)["state"] == "ready", what=f"{name} ready")
        with self.as_user(user) as client:
            wait_until(
                lambda: client.get(f"/{name}/ping").status_code == 200, what="the gateway's route"
            )
        return name


@pytest.fixture
def serving(hub: Hub, registry: Mlflow, tmp_path: Path) -> Iterator[Serving]:
    """A fresh control plane and gateway over the session's Hub and MLflow."""
    with Api.running(hub, tmp_path / "data") as api:
        topology = replace(api.context.topology, mlflow_port=registry.context.topology.mlflow_port)
        topology.save(api.context.data.run / "topology.json")
        # The API has read the old one already.
        api.context.__dict__["topology"] = topology
        launcher = LocalLauncher(api.context.data.workloads)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", pythonpath())
            with served(create_gateway(api.context), topology.gateway_port):
                yield Serving(
                    api, topology.gateway_url, DeploymentDuty(api.context, launcher), launcher
                )
        _end_all(launcher)


def _end_all(launcher: LocalLauncher) -> None:
    for status in launcher.list():
        with contextlib.suppress(KeyError):
            launcher.stop(status.name)
    wait_until(
        lambda: all(status.phase is not Phase.running for status in launcher.list()),
        what="the end of every replica",
    )

"""Saved while it runs, killed, and put back elsewhere: people go on where they were."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from tests.e2e.test_kill import NOTEBOOK, api
from tests.fixtures.processes import wait_until
from tests.fixtures.product import Product

pytestmark = pytest.mark.timeout(300)

REGISTER = """
import mlflow, numpy as np
from mlflow.models import infer_signature
from sklearn.dummy import DummyClassifier
x = np.array([[0.0], [1.0]])
model = DummyClassifier(strategy="most_frequent").fit(x, [7, 7])
with mlflow.start_run():
    mlflow.sklearn.log_model(model, name="model", signature=infer_signature(x, model.predict(x)),
                             registered_model_name="seven", pip_requirements=["mlflow"])
"""


def register(product: Product) -> None:
    """Register a model as ada, from outside."""
    environment = {
        "MLFLOW_TRACKING_URI": f"{product.url}/services/mlflow",
        "MLFLOW_TRACKING_TOKEN": product.token("ada"),
        "PATH": "",
    }
    done = subprocess.run(
        [sys.executable, "-c", REGISTER], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr


def predicts(client: httpx.Client) -> bool:
    """Tell whether the deployment answers."""
    answer = client.post("/services/serve/seven/invocations", json={"inputs": [[1.0]]})
    return answer.status_code == 200 and answer.json()["predictions"] == [7]


def kill_everything(product: Product) -> None:
    """kill -9 whatever works on the product's data directory."""
    product.process.kill()
    product.process.wait()
    for process in psutil.process_iter(["cmdline", "environ"]):
        words = [*(process.info["cmdline"] or ()), *(process.info["environ"] or {}).values()]
        if any(str(product.data) in word for word in words):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def log_in(product: Product, name: str, password: str) -> int:
    """Log in with the form; return the status of a page that only people see."""
    with httpx.Client(base_url=product.url, follow_redirects=True, trust_env=False) as browser:
        browser.get("/hub/login")
        fields = {"username": name, "password": password, "_xsrf": browser.cookies["_xsrf"]}
        browser.post("/hub/login", data=fields)
        return browser.get("/hub/home", follow_redirects=False).status_code


def test_users_jobs_runs_and_models_are_there_again(tmp_path: Path) -> None:
    archive = tmp_path / "backup.tar"
    old = Product.start(tmp_path)
    try:
        with old.client("ada") as ada:
            register(old)
            deployed = api(ada, "POST", "/deployments", {"model": "seven", "version": 1})
            assert deployed.status_code < 300, deployed.text
            job = api(ada, "POST", "/jobs", {"name": "nightly", "notebook": NOTEBOOK}).json()
            go = tmp_path / "go"
            go.touch()
            (tmp_path / "go.end").touch()
            run = api(
                ada, "POST", f"/jobs/{job['id']}/runs", {"parameters": {"go": str(go)}}
            ).json()
            wait_until(
                lambda: api(ada, "GET", f"/runs/{run['id']}").json()["state"] == "succeeded",
                seconds=60,
                what="the run succeeded",
            )
            wait_until(lambda: predicts(ada), seconds=60, what="the deployment answers")
            old.start_server(ada, "ada")
        said = old.cli("backup", str(archive), "--homes")
        assert "It holds keys" in said
    finally:
        kill_everything(old)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = [sys.executable, "-m", "perijove_hub.cli", "restore", str(archive)]
    command += ["--data-dir", str(elsewhere / "data")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # Nothing may come from where it was.
    old.data.rename(tmp_path / "gone")
    with Product.running(elsewhere) as new, new.client("ada") as ada:
        assert new.passwords == {}
        assert log_in(new, "ada", "wrong") == 302
        assert log_in(new, "ada", old.passwords["ada"]) == 200
        assert api(ada, "GET", f"/runs/{run['id']}").json()["state"] == "succeeded"
        assert "worked" in api(ada, "GET", f"/runs/{run['id']}/notebook").text
        assert [item["name"] for item in api(ada, "GET", "/jobs").json()["items"]] == ["nightly"]
        # The server that ran elsewhere is not taken for one that runs here.
        assert new.server(ada, "ada") == {}
        assert (new.data / "homes" / "ada").is_dir()
        wait_until(lambda: predicts(ada), seconds=60, what="the deployment answers again")

"""kill -9 of each process: it comes back, and nothing acknowledged is lost."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.fixtures.processes import wait_until
from tests.fixtures.product import Product

pytestmark = pytest.mark.timeout(600)

PARTS = ("proxy", "hub", "api", "mlflow", "gateway", "worker")

#: A job that says when it has started and waits to be told to end.
NOTEBOOK: dict[str, Any] = {
    "nbformat": 4,
    "nbformat_minor": 5,
    "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    "cells": [
        {
            "cell_type": "code",
            "id": "parameters",
            "metadata": {"tags": ["parameters"]},
            "source": 'go: str = ""  # file to wait for',
            "outputs": [],
            "execution_count": None,
        },
        {
            "cell_type": "code",
            "id": "work",
            "metadata": {},
            "source": (
                "import pathlib, time\n"
                'pathlib.Path(go + ".starts").open("a").write("started\\n")\n'
                "while not pathlib.Path(go).exists():\n    time.sleep(0.1)\n"
                "print('worked')"
            ),
            "outputs": [],
            "execution_count": None,
        },
    ],
}


@pytest.fixture(scope="module")
def ada(product: Product) -> Iterator[httpx.Client]:
    """Ada's client, with a workspace running."""
    with product.client("ada") as client:
        product.start_server(client, "ada")
        yield client


def api(client: httpx.Client, method: str, path: str, body: object = None) -> httpx.Response:
    """Call the control plane's API through the proxy."""
    return client.request(method, f"/services/perijove/api/v1{path}", json=body)


def healthy(product: Product) -> bool:
    """Tell whether every part answers, as ``perijove status`` sees it."""
    try:
        report = json.loads(product.cli("status", "--json"))
    except AssertionError:
        return False
    return all(part["answers"] for part in report["parts"])


def kill_part(product: Product, part: str) -> None:
    """Kill a part and wait until it runs again under another pid."""
    old = product.pid(part)
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: product.pid(part) != old, seconds=30, what=f"{part} restarted")
    wait_until(lambda: healthy(product), seconds=90, what=f"everything answers after {part}")


def test_a_run_and_a_workspace_survive_the_death_of_every_part(
    product: Product, ada: httpx.Client, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    job = api(ada, "POST", "/jobs", {"name": "patient", "notebook": NOTEBOOK}).json()
    run = api(ada, "POST", f"/jobs/{job['id']}/runs", {"parameters": {"go": str(go)}}).json()
    starts = tmp_path / "go.starts"
    wait_until(starts.exists, seconds=60, what="the run's cell started")
    workspace = product.server(ada, "ada")["started"]

    for part in PARTS:
        kill_part(product, part)

    assert api(ada, "GET", f"/runs/{run['id']}").json()["state"] == "running"
    assert product.server(ada, "ada")["started"] == workspace
    assert ada.get("/user/ada/api/status").status_code == 200
    go.touch()
    wait_until(
        lambda: api(ada, "GET", f"/runs/{run['id']}").json()["state"] == "succeeded",
        seconds=60,
        what="the run succeeded",
    )
    assert starts.read_text() == "started\n", "the run ran more than once"
    output = api(ada, "GET", f"/runs/{run['id']}/notebook").json()
    assert "worked" in json.dumps(output)


def test_the_death_of_a_workspace_is_noticed_and_it_starts_again(
    product: Product, ada: httpx.Client
) -> None:
    servers = [
        process
        for process in psutil.process_iter(["pid", "cmdline"])
        if "jupyterhub.singleuser" in " ".join(process.info["cmdline"] or [])
        and str(product.data) in process.environ().get("HOME", "")
    ]
    assert len(servers) == 1
    servers[0].kill()
    wait_until(lambda: not product.server(ada, "ada"), seconds=90, what="the Hub noticed")
    product.start_server(ada, "ada")


def test_killing_the_supervisor_and_starting_again_leaves_one_of_each(product: Product) -> None:
    old = {part: product.pid(part) for part in PARTS}
    product.process.kill()
    product.process.wait()
    port = int(product.url.rsplit(":", 1)[1])
    again = Product.start(product.log.parent, port=port)
    product.process, product.log = again.process, again.log
    for part, pid in old.items():
        assert product.pid(part) != pid
        assert not psutil.pid_exists(pid), f"{part} {pid} was left behind"
    assert healthy(product)


def test_ctrl_c_ends_everything_it_started_and_nothing_else(product: Product) -> None:
    mine = [product.pid(part) for part in PARTS]
    bystander = os.getpid()
    product.stop()
    assert product.process.returncode == 0
    assert not [pid for pid in mine if psutil.pid_exists(pid)]
    left = [
        process.pid
        for process in psutil.process_iter(["pid"])
        if process.pid != bystander and _belongs(process, product.data)
    ]
    assert not left


def _belongs(process: psutil.Process, data: Path) -> bool:
    try:
        return str(data) in " ".join([*process.cmdline(), process.environ().get("HOME", "")])
    except psutil.Error:
        return False

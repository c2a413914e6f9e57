"""kill -9 of each process: it comes back, and nothing acknowledged is lost."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.fixtures.processes import process, pythonpath, wait_until
from tests.fixtures.product import Product

pytestmark = pytest.mark.timeout(600)

PARTS = ("proxy", "hub", "api", "mlflow", "gateway", "worker")

#: A job that says when it has started, waits to be told to go on, says whom the API takes its
#: token for, and waits to be told to end.
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
        {
            "cell_type": "code",
            "id": "token",
            "metadata": {},
            "source": (
                "from perijove.client import Client\n"
                "from perijove.following import patiently\n"
                "from perijove.types.base import Principal\n"
                "with Client() as client:\n"
                "    me = patiently(lambda: client.get(Principal, '/whoami'))\n"
                "print('known as', me.name, me.kind)\n"
                'pathlib.Path(go + ".known").touch()\n'
                'while not pathlib.Path(go + ".end").exists():\n    time.sleep(0.1)'
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


def end_hub_and_api(product: Product, *, hub: int, api: int) -> None:
    """Signal both; they are away for a moment, and nobody waits for them."""
    for part, number in (("hub", hub), ("api", api)):
        old = product.pid(part)
        os.kill(old, number)
        wait_until(lambda old=old: not psutil.pid_exists(old), what=f"{part}'s end")


def back(client: httpx.Client) -> bool:
    """Tell whether Hub and API answer."""
    try:
        who = api(client, "GET", "/whoami").status_code
        return who == client.get("/hub/api/user").status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.parametrize(
    ("hubs", "apis"),
    [(signal.SIGKILL, signal.SIGTERM), (signal.SIGTERM, signal.SIGKILL)],
    ids=["hub-killed", "api-killed"],
)
def test_a_run_and_a_workspace_survive_the_death_of_every_part(
    product: Product, ada: httpx.Client, tmp_path: Path, hubs: int, apis: int
) -> None:
    go, known, end = (tmp_path / name for name in ("go", "go.known", "go.end"))
    workspace = product.server(ada, "ada")["started"]
    name = f"patient-{hubs}"
    job = api(ada, "POST", "/jobs", {"name": name, "notebook": NOTEBOOK}).json()
    run = api(ada, "POST", f"/jobs/{job['id']}/runs", {"parameters": {"go": str(go)}}).json()

    # While it is claimed, laid out and started.
    end_hub_and_api(product, hub=hubs, api=apis)
    starts = tmp_path / "go.starts"
    wait_until(starts.exists, seconds=60, what="the run's cell started")
    wait_until(lambda: back(ada), seconds=90, what="Hub and API are back")
    with looking_on(product, name, tmp_path / "followed") as watcher:
        # In the middle of a cell.
        if hubs == signal.SIGKILL:
            for part in PARTS:
                kill_part(product, part)
        else:
            end_hub_and_api(product, hub=hubs, api=apis)
            wait_until(lambda: back(ada), seconds=90, what="Hub and API are back")
        assert api(ada, "GET", f"/runs/{run['id']}").json()["state"] == "running"

        # Between two cells, and when the next one needs them.
        end_hub_and_api(product, hub=hubs, api=apis)
        go.touch()
        wait_until(known.exists, seconds=90, what="the run's token counts again")
        assert api(ada, "GET", f"/runs/{run['id']}").json()["state"] == "running"

        # While it saves, ends and is recorded.
        wait_until(lambda: back(ada), seconds=90, what="Hub and API are back")
        end_hub_and_api(product, hub=hubs, api=apis)
        end.touch()
        wait_until(lambda: back(ada), seconds=90, what="Hub and API are back")
        wait_until(
            lambda: api(ada, "GET", f"/runs/{run['id']}").json()["state"] == "succeeded",
            seconds=60,
            what="the run succeeded",
        )
        assert watcher.wait(60) == 0
    assert starts.read_text() == "started\n", "the run ran more than once"
    output = json.dumps(api(ada, "GET", f"/runs/{run['id']}/notebook").json())
    for said in ("worked", "known as ada run"):
        assert said in output
        assert (tmp_path / "followed").read_text().count(said) == 1
    # Neither was anything of it the workspace's affair.
    assert product.server(ada, "ada")["started"] == workspace
    assert ada.get("/user/ada/api/status").status_code == 200


@contextlib.contextmanager
def looking_on(product: Product, job: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Follow the log of a job's run as its owner does in a shell."""
    command = [sys.executable, "-m", "perijove_hub.cli", "jobs", "logs", job, "--follow"]
    who = {
        "PERIJOVE_URL": f"{product.url}/services/perijove",
        "PERIJOVE_TOKEN": product.token("ada"),
        "PYTHONPATH": pythonpath(),
    }
    with process(command, log=log, env=who) as found:
        wait_until(lambda: log.read_text(), seconds=60, what="the log's first line")
        yield found


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

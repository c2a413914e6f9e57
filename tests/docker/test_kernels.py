"""Remote kernels in containers, from a workspace in a container."""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import docker
import httpx
import pytest
import websocket

from perijove_hub.context import Context
from perijove_hub.engine import Names
from tests.fixtures.processes import wait_until
from tests.fixtures.product import Product

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

#: A user's own, as anybody may write one.
SPEC = {
    "argv": ["python"],
    "display_name": "Elsewhere",
    "language": "python",
    "interrupt_mode": "message",
    "metadata": {
        "kernel_provisioner": {"provisioner_name": "perijove", "config": {"size": "small"}}
    },
}


@dataclass
class Notebook:
    """A kernel of ada's server, as the browser uses it."""

    http: httpx.Client
    kernel: str
    link: websocket.WebSocket

    def send(self, code: str) -> str:
        """Send a cell."""
        header = {
            "msg_id": uuid.uuid4().hex,
            "msg_type": "execute_request",
            "session": "test",
            "username": "ada",
            "version": "5.3",
        }
        content = {"code": code, "silent": False, "store_history": False}
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
        self.link.send(json.dumps({**message, "channel": "shell"}))
        return header["msg_id"]

    def execute(self, code: str) -> str:
        """Run a cell; return what it prints, and the name of its error."""
        sent, printed = self.send(code), ""
        while True:
            message = json.loads(self.link.recv())
            if message["parent_header"].get("msg_id") != sent:
                continue
            content = message["content"]
            match message["header"]["msg_type"]:
                case "stream":
                    printed += content["text"]
                case "error":
                    printed += content["ename"]
                case "status" if content["execution_state"] == "idle":
                    return printed

    def until(self, wanted: str) -> None:
        """Read until a message of this type, or a status of this name, has come."""
        while True:
            message = json.loads(self.link.recv())
            state = message["content"].get("execution_state")
            if wanted in (message["header"]["msg_type"], state):
                return


@dataclass
class Engine:
    """What the engine knows of the kernels' containers."""

    client: Any
    names: Names

    def kernels(self) -> list[Any]:
        labels = [f"{key}={value}" for key, value in self.names.labels.items()]
        found = self.client.containers.list(all=True, filters={"label": labels})
        return [one for one in found if "kernel-" in one.labels.get("perijove.id", "")]


@pytest.fixture(scope="module")
def ada(product: Product) -> Iterator[httpx.Client]:
    """ada's running workspace, with a kernel spec of her own in it."""
    with product.client("ada") as client:
        if not product.server(client, "ada").get("ready"):
            product.start_server(client, "ada")
        folder = "/user/ada/api/contents/.local"
        for part in ("", "/share", "/share/jupyter", "/share/jupyter/kernels"):
            client.put(f"{folder}{part}", json={"type": "directory"})
        yield client
        client.delete("/hub/api/users/ada/server")
        wait_until(lambda: not product.server(client, "ada"), seconds=60, what="its end")


@pytest.fixture(scope="module")
def engine_of(product: Product) -> Iterator[Engine]:
    """The engine, and the names of the product's containers."""
    with contextlib.closing(docker.from_env()) as client:
        yield Engine(client, Names.of(product.data))


@pytest.fixture
def context(product: Product) -> Iterator[Context]:
    """The product's database and data directory."""
    found = Context.open(product.data, None)
    yield found
    found.database.close()


@pytest.fixture
def notebook(product: Product, ada: httpx.Client) -> Iterator[Notebook]:
    """A remote kernel, through the proxy, ada's container and the control plane."""
    home = product.data / "homes" / "ada" / ".local" / "share" / "jupyter" / "kernels" / "mine"
    home.mkdir(parents=True, exist_ok=True)
    (home / "kernel.json").write_text(json.dumps(SPEC))
    started = ada.post("/user/ada/api/kernels", json={"name": "mine"})
    assert started.status_code == 201, started.text
    kernel = started.json()["id"]
    host = product.url.partition("://")[2]
    link = websocket.create_connection(
        f"ws://{host}/user/ada/api/kernels/{kernel}/channels",
        header=[f"Authorization: {ada.headers['Authorization']}"],
        timeout=120,
    )
    with contextlib.closing(link):
        yield Notebook(ada, kernel, link)
    ada.delete(f"/user/ada/api/kernels/{kernel}")


def test_a_kernel_runs_in_a_container_of_its_own(
    product: Product, ada: httpx.Client, engine_of: Engine, notebook: Notebook
) -> None:
    [container] = engine_of.kernels()
    told = json.loads(
        notebook.execute(
            "import os, json, pathlib, socket\n"
            "pathlib.Path.home().joinpath('from-kernel').write_text('x')\n"
            "print(json.dumps([socket.gethostname(), str(pathlib.Path.home()), os.getuid(), "
            "os.getcwd(), dict(os.environ)]))"
        )
    )
    hostname, home, uid, cwd, environment = told
    assert container.id.startswith(hostname)
    assert (home, cwd, uid) == ("/home/perijove", "/home/perijove", 1000)
    # For what is promoted or frozen there.
    assert environment["PERIJOVE_IMAGE"] == "cpu@1"
    assert environment["PERIJOVE_IMAGE_DIGEST"] == container.attrs["Image"]
    # The same home as the server's.
    found = ada.get("/user/ada/api/contents/from-kernel").json()
    assert found["content"] == "x"

    # It is a sandbox like any other.
    host = container.attrs["HostConfig"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["ReadonlyRootfs"]
    assert host["Memory"] == 1024 * 2**20

    # What the engine tells of it opens no door: nobody's token, no key, no secret.
    seen = json.dumps(container.attrs)
    assert environment["PERIJOVE_TOKEN"] not in seen
    assert "PERIJOVE_KERNEL_SECRET" not in seen
    # Magics work there as they do in the server's own kernels.
    assert "rows: 569" in notebook.execute(
        'get_ipython().run_cell_magic("sql", "demo --out df", "SELECT count(*) AS n '
        'FROM breast_cancer")\nprint("rows:", int(df["n"][0]))'
    )
    listed = ada.get("/user/ada/perijove/api/kernels").json()["items"]
    assert [(one["size"], one["image"], one["state"]) for one in listed] == [
        ("small", "cpu@1", "running")
    ]


def test_an_interrupt_and_an_end_out_of_memory(
    product: Product, ada: httpx.Client, notebook: Notebook
) -> None:
    notebook.execute("x = 1")
    sent = time.monotonic()
    notebook.send("import time\nprint('begun', flush=True)\ntime.sleep(100)")
    notebook.until("stream")
    ada.post(f"/user/ada/api/kernels/{notebook.kernel}/interrupt").raise_for_status()
    wait_until(
        lambda: (
            ada.get(f"/user/ada/api/kernels/{notebook.kernel}").json()["execution_state"] == "idle"
        ),
        what="the interrupt",
    )
    assert time.monotonic() - sent < 60
    assert notebook.execute("print(x)") == "1\n"
    notebook.send("big = bytearray(3 * 2**30)\nfor i in range(0, len(big), 4096): big[i] = 1")
    notebook.until("restarting")
    said = notebook.execute("print('x' in globals())")
    assert "used more than the 1024 MiB of size 'small'" in said
    assert "The next size up is 'medium'." in said
    assert "False\n" in said


def test_a_container_that_is_taken_away_is_replaced(engine_of: Engine, notebook: Notebook) -> None:
    [container] = engine_of.kernels()
    notebook.execute("x = 1")
    container.remove(force=True)
    notebook.until("restarting")
    assert "It vanished without a word" in notebook.execute("print('x' in globals())")
    [other] = engine_of.kernels()
    assert other.id != container.id


def test_nothing_is_left_when_the_notebook_is_closed(ada: httpx.Client, engine_of: Engine) -> None:
    wait_until(lambda: not engine_of.kernels(), seconds=60, what="the containers' end")
    assert ada.get("/user/ada/perijove/api/kernels").json()["items"] == []

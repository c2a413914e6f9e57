"""The whole product with workspaces in Docker."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import docker
import httpx
import pytest
import websocket

from perijove_hub.hub.docker import container_prefix
from tests.fixtures.product import Product

#: The first run builds the images: a Debian root file system and two layers of packages.
pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]


@dataclass
class Workspace:
    """ada's running server, and the product around it."""

    product: Product
    client: httpx.Client
    container: Any

    def execute(self, code: str) -> str:
        """Run ``code`` in a new kernel and return what it prints and shows."""
        kernel = self.client.post("/user/ada/api/kernels", json={"name": "python3"})
        kernel.raise_for_status()
        host = self.product.url.partition("://")[2]
        socket = websocket.create_connection(
            f"ws://{host}/user/ada/api/kernels/{kernel.json()['id']}/channels",
            header=[f"Authorization: {self.client.headers['Authorization']}"],
            timeout=120,
        )
        with contextlib.closing(socket):
            header = {
                "msg_id": uuid.uuid4().hex,
                "msg_type": "execute_request",
                "session": "test",
                "username": "ada",
                "version": "5.3",
            }
            content = {"code": code, "silent": False, "store_history": False}
            message = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
            socket.send(json.dumps({**message, "channel": "shell"}))
            return "".join(self._output(socket, header["msg_id"]))

    @staticmethod
    def _output(socket: websocket.WebSocket, msg_id: str) -> Iterator[str]:
        while True:
            message = json.loads(socket.recv())
            if message["parent_header"].get("msg_id") != msg_id:
                continue
            content = message["content"]
            match message["header"]["msg_type"]:
                case "stream":
                    yield content["text"]
                case "execute_result" | "display_data":
                    yield content["data"].get("text/plain", "")
                case "error":
                    raise AssertionError("\n".join(content["traceback"]))
                case "status" if content["execution_state"] == "idle":
                    return


@pytest.fixture(scope="module")
def workspace(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """`perijove up --spawner docker`, with ada's server started."""
    folder = tmp_path_factory.mktemp("docker")
    with Product.running(folder, "--spawner", "docker") as product, product.client("ada") as client:
        product.start_server(client, "ada")
        yield Workspace(product, client, container_of(product, "ada"))


def container_of(product: Product, user: str) -> Any:
    """Find a user's container."""
    with contextlib.closing(docker.from_env()) as engine:
        return engine.containers.get(f"{container_prefix(product.data)}-{user}")


def test_jupyterlab_answers_with_the_panel(workspace: Workspace) -> None:
    page = workspace.client.get("/user/ada/lab")
    assert page.status_code == 200
    config = page.text.split('id="jupyter-config-data"')[1].split("</script>")[0].split(">", 1)[1]
    extensions = json.loads(config)["federated_extensions"]
    assert "perijove" in [extension["name"] for extension in extensions]


def test_the_server_extension_reaches_the_control_plane_as_the_user(workspace: Workspace) -> None:
    answer = workspace.client.get("/user/ada/perijove/api/whoami")
    assert answer.status_code == 200, answer.text
    assert answer.json()["name"] == "ada"
    assert answer.json()["groups"] == ["research"]


def test_a_kernel_queries_the_demo_source(workspace: Workspace) -> None:
    cell = """
get_ipython().run_cell_magic("sql", "demo --out df", "SELECT count(*) AS n FROM breast_cancer")
print("rows:", int(df["n"][0]))
"""
    assert "rows: 569" in workspace.execute(cell)


def test_the_workspace_is_nobody_special(workspace: Workspace) -> None:
    cell = """
import os, pathlib
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
caps = [int(status[name], 16) for name in ("CapEff", "CapBnd")]
print(os.getuid(), *caps, status["NoNewPrivs"].strip())
for place in ("/opt/perijove/x", "/etc/x", "/x", "/home/perijove/x", "/tmp/x"):
    try:
        pathlib.Path(place).write_text("x")
        print("wrote", place)
    except OSError as error:
        print("refused", place)
"""
    printed = workspace.execute(cell).splitlines()
    user, *restrictions = printed[0].split()
    assert int(user) != 0
    assert restrictions == ["0", "0", "1"]
    assert [line for line in printed if line.startswith("wrote")] == [
        "wrote /home/perijove/x",
        "wrote /tmp/x",
    ]


def test_the_container_is_limited(workspace: Workspace) -> None:
    host = workspace.container.attrs["HostConfig"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["PidsLimit"] == 2048
    assert host["Memory"] == 4096 * 1024 * 1024
    assert host["ReadonlyRootfs"]
    assert host["AutoRemove"]


def test_the_environment_holds_no_token_but_the_servers_own(workspace: Workspace) -> None:
    env = dict(item.split("=", 1) for item in workspace.container.attrs["Config"]["Env"])
    tokens = {value for key, value in env.items() if "TOKEN" in key}
    assert tokens == {env["JUPYTERHUB_API_TOKEN"]}


def test_a_user_cannot_choose_another_image_and_still_starts_the_right_one(
    workspace: Workspace,
) -> None:
    with workspace.product.client("grace") as grace:
        refused = grace.post("/hub/api/users/grace/server", json={"image": "perijove/base:latest"})
        assert refused.status_code == 400
        assert "not allowed" in refused.json()["message"]
        workspace.product.start_server(grace, "grace")


def test_workspaces_do_not_reach_each_other(workspace: Workspace) -> None:
    with workspace.product.client("grace") as grace:
        if not workspace.product.server(grace, "grace").get("ready"):
            workspace.product.start_server(grace, "grace")
    address = container_of(workspace.product, "grace").attrs["NetworkSettings"]["Networks"]
    cell = f"""
import socket
try:
    socket.create_connection(({address["perijove"]["IPAddress"]!r}, 8888), timeout=3)
    print("reached")
except OSError as error:
    print("no way:", type(error).__name__)
"""
    assert "no way: TimeoutError" in workspace.execute(cell)

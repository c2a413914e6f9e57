"""The whole product with workspaces in Docker."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import httpx
import pytest
import websocket

from tests.fixtures.processes import free_port, process, wait_until

#: The first run builds the images: a Debian root file system and two layers of packages.
pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]


PERIJOVE = (sys.executable, "-m", "perijove_hub.cli")


def token_of(user: str, data: Path) -> str:
    """Ask for a new token, as an administrator would for a script."""
    asked = [*PERIJOVE, "token", user, f"--data-dir={data}"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


def hub_api(hub: str, token: str) -> httpx.Client:
    """Talk to the Hub."""
    return httpx.Client(
        base_url=f"{hub}/hub/api/",
        headers={"Authorization": f"token {token}"},
        timeout=60,
        trust_env=False,
    )


@dataclass
class Workspace:
    """ada's running server, and the product around it."""

    hub: str
    token: str
    container: Any
    data: Path

    @property
    def url(self) -> str:
        """Where it is, through the proxy."""
        return f"{self.hub}/user/ada/"

    def http(self) -> httpx.Client:
        """Talk to it as ada."""
        return httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"token {self.token}"},
            timeout=60,
            trust_env=False,
        )

    def execute(self, code: str) -> str:
        """Run ``code`` in a new kernel and return what it prints and shows."""
        with self.http() as http:
            kernel = http.post("api/kernels", json={"name": "python3"})
            kernel.raise_for_status()
            address = f"{self.url}api/kernels/{kernel.json()['id']}/channels"
        socket = websocket.create_connection(
            address.replace("http", "ws", 1),
            header=[f"Authorization: token {self.token}"],
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
def workspace(
    engine: str | None, image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Workspace]:
    """`perijove up --spawner docker`, with ada's server started."""
    folder = tmp_path_factory.mktemp("docker")
    data, log = folder / "data", folder / "up.log"
    port = free_port()
    up = [*PERIJOVE, "up", "--demo", "--spawner=docker", f"--port={port}", f"--data-dir={data}"]
    env = {"DOCKER_HOST": engine} if engine else {}
    with process(up, log=log, env=env) as child:
        wait_until(
            lambda: child.poll() is not None or "is ready at" in log.read_text(),
            seconds=120,
            what="perijove up",
        )
        assert child.poll() is None, log.read_text()
        token = token_of("ada", data)
        hub = f"http://127.0.0.1:{port}"
        with hub_api(hub, token) as api:
            api.post("users/ada/server").raise_for_status()
            wait_until(
                lambda: api.get("users/ada").json()["servers"].get("", {}).get("ready"),
                seconds=120,
                what=f"ada's server (see {data / 'logs'})",
            )
        client = docker.DockerClient(base_url=engine) if engine else docker.from_env()
        with contextlib.closing(client):
            [container] = client.containers.list(filters={"label": "perijove.user=ada"})
            yield Workspace(hub, token, container, data)


def test_jupyterlab_answers_with_the_panel(workspace: Workspace) -> None:
    with workspace.http() as http:
        page = http.get("lab")
    assert page.status_code == 200
    config = page.text.split('id="jupyter-config-data"')[1].split("</script>")[0].split(">", 1)[1]
    extensions = json.loads(config)["federated_extensions"]
    assert "perijove" in [extension["name"] for extension in extensions]


def test_the_server_extension_reaches_the_control_plane_as_the_user(workspace: Workspace) -> None:
    with workspace.http() as http:
        answer = http.get("perijove/api/whoami")
    assert answer.status_code == 200, answer.text
    assert answer.json()["name"] == "ada"
    assert answer.json()["groups"] == ["research"]


def test_a_kernel_queries_the_demo_source(workspace: Workspace) -> None:
    cell = """
get_ipython().run_cell_magic("sql", "demo --out df", "SELECT count(*) AS n FROM patients")
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


def test_a_user_cannot_choose_another_image(workspace: Workspace) -> None:
    with hub_api(workspace.hub, token_of("grace", workspace.data)) as api:
        refused = api.post("users/grace/server", json={"image": "perijove/debian:bookworm"})
    assert refused.status_code == 400
    assert "not allowed" in refused.json()["message"]

"""Remote kernels in a real Jupyter server, as JupyterLab uses it."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import websocket

from perijove.kernels import specs
from tests.fixtures.processes import ROOT, answers, free_port, process, wait_until
from tests.kernels.conftest import Platform, Someone


@dataclass
class Jupyter:
    """A server of ada's."""

    http: httpx.Client
    log: Path

    def start(self, name: str) -> str:
        """Start a kernel; return its id."""
        answer = self.http.post("/api/kernels", json={"name": name})
        return str(answer.raise_for_status().json()["id"])

    @contextlib.contextmanager
    def channels(self, kernel: str) -> Iterator[Channels]:
        """Connect as a notebook does."""
        url = str(self.http.base_url).replace("http", "ws", 1)
        link = websocket.create_connection(
            f"{url}/api/kernels/{kernel}/channels?token=secret", timeout=60
        )
        with contextlib.closing(link):
            yield Channels(link)


@dataclass
class Channels:
    """A notebook's connection to its kernel."""

    link: websocket.WebSocket

    def execute(self, code: str) -> str:
        """Run ``code``; return what it prints."""
        return self.output(self.send(code))

    def output(self, sent: str) -> str:
        """Return what a cell prints, and the name of its error."""
        printed = ""
        while True:
            message = json.loads(self.link.recv())
            content = message["content"]
            if message["parent_header"].get("msg_id") != sent:
                continue
            if message["header"]["msg_type"] == "stream":
                printed += content["text"]
            elif message["header"]["msg_type"] == "error":
                printed += content["ename"]
            elif content.get("execution_state") == "idle":
                return printed

    def send(self, code: str) -> str:
        """Send a cell; return its message's id."""
        header: dict[str, Any] = {
            "msg_id": uuid.uuid4().hex,
            "msg_type": "execute_request",
            "session": "test",
            "username": "ada",
            "version": "5.3",
        }
        content = {
            "code": code,
            "silent": False,
            "store_history": False,
            # What is sent right after a failed cell is to run, not to be dropped with it.
            "stop_on_error": False,
        }
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
        self.link.send(json.dumps({**message, "channel": "shell"}))
        return str(header["msg_id"])

    def until(self, wanted: str) -> None:
        """Read until a message of this type, or a status of this name, has come."""
        while True:
            message = json.loads(self.link.recv())
            state = message["content"].get("execution_state")
            if wanted in (message["header"]["msg_type"], state):
                return


@contextlib.contextmanager
def serving(folder: Path, url: str, token: str) -> Iterator[Jupyter]:
    """Run a Jupyter server with what Perijove configures."""
    port = free_port()
    log = folder / "jupyter.log"
    command = [
        *(sys.executable, "-m", "jupyter_server"),
        *(f"--port={port}", "--ServerApp.port_retries=0", "--no-browser", "--allow-root"),
        *("--IdentityProvider.token=secret", f"--ServerApp.root_dir={folder}"),
    ]
    env = {
        "PERIJOVE_URL": url,
        "PERIJOVE_TOKEN": token,
        "JUPYTER_CONFIG_PATH": str(ROOT / "server_ext" / "etc"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "HOME": str(folder),
    }
    with process(command, log=log, env=env) as child:
        base = f"http://127.0.0.1:{port}"
        wait_until(lambda: child.poll() is not None or answers(f"{base}/api"), what="the server")
        assert child.poll() is None, log.read_text()
        headers = {"Authorization": "token secret"}
        with httpx.Client(base_url=base, headers=headers, timeout=60, trust_env=False) as http:
            yield Jupyter(http, log)


@pytest.fixture
def jupyter(platform: Platform, ada: Someone, tmp_path: Path) -> Iterator[Jupyter]:
    with serving(tmp_path, platform.url, ada.token) as found:
        yield found


def test_a_notebook_runs_on_a_gpu_elsewhere(
    platform: Platform, ada: Someone, jupyter: Jupyter, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = jupyter.http.get("/api/kernelspecs").json()["kernelspecs"]
    assert found["python3"]
    assert found["perijove-gpu"]["spec"]["display_name"] == "Python (GPU)"
    assert found["perijove-gpu"]["resources"]["logo-svg"]

    kernel = jupyter.start("perijove-gpu")
    with jupyter.channels(kernel) as channels:
        printed = channels.execute("import os; x = 41; print(os.environ['CUDA_VISIBLE_DEVICES'])")
        assert printed == "GPU-0\n"

        # An interrupt, by the button.
        sent = channels.send("import time\nprint('begun', flush=True)\ntime.sleep(60)")
        channels.until("stream")
        jupyter.http.post(f"/api/kernels/{kernel}/interrupt").raise_for_status()
        assert channels.output(sent) == "KeyboardInterrupt"
        assert channels.execute("print(x + 1)") == "42\n"

        # Its death: the server starts it again, and the user reads why.
        channels.send("import os; os._exit(3)")
        channels.until("restarting")
        said = channels.execute("print('x' in globals())")
        assert "Its process ended with status 3." in said
        assert "False" in said

        # A restart, by the button.
        channels.execute("x = 1")
        jupyter.http.post(f"/api/kernels/{kernel}/restart").raise_for_status()
        assert channels.execute("print('x' in globals())") == "False\n"
        [remote] = ada.kernels()
        assert remote["attempt"] == 3

    # Idle: it is gone, and nobody starts it again.
    monkeypatch.setattr(platform.context.settings.workspaces.idle, "gpu_minutes", 1 / 60)
    wait_until(lambda: not jupyter.http.get("/api/kernels").json(), what="the culling")
    assert not ada.kernels()
    assert "idle minutes; its GPU is free for others" in jupyter.log.read_text()
    assert ada.token not in jupyter.log.read_text()


def test_without_a_control_plane_local_kernels_work_at_once(tmp_path: Path) -> None:
    with serving(
        tmp_path, f"http://127.0.0.1:{free_port()}/services/perijove", "x" * 32
    ) as jupyter:
        began = time.monotonic()
        found = jupyter.http.get("/api/kernelspecs").json()["kernelspecs"]
        assert time.monotonic() - began < 3
        assert list(found) == ["python3"]
        with jupyter.channels(jupyter.start("python3")) as channels:
            assert channels.execute("print(6 * 7)") == "42\n"


def test_what_was_offered_stays_while_the_control_plane_is_away(
    platform: Platform, ada: Someone, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = specs.PerijoveKernelSpecs()
    assert "perijove-gpu" in listed.find_kernel_specs()
    assert "perijove-gpu" in listed.get_all_specs()
    monkeypatch.setattr(specs, "FRESH", 0.0)
    monkeypatch.setenv("PERIJOVE_URL", f"http://127.0.0.1:{free_port()}/services/perijove")
    for _ in range(3):
        began = time.monotonic()
        assert "perijove-gpu" in listed.get_all_specs()
        assert time.monotonic() - began < 0.5
    listed.allowed_kernelspecs = {"python3"}
    assert set(listed.get_all_specs()) == {"python3"}
    assert "PERIJOVE_URL" in os.environ

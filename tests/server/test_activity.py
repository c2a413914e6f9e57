"""What a real Jupyter server reports to the control plane."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import websocket

from perijove.server import memory
from tests.fixtures.processes import wait_until
from tests.server.conftest import (
    BROWSER_TOKEN,
    HUB_TOKEN,
    ControlPlane,
    Handler,
    Seen,
    Workspace,
    Workspaces,
)

ACTIVITY = "/services/perijove/api/v1/workspaces/activity"


def answer(state: str) -> bytes:
    now = datetime.now(UTC).isoformat()
    return json.dumps(
        {"state": state, "idle_minutes": 60, "active_at": now, "shut_off_at": now}
    ).encode()


def reports(plane: ControlPlane) -> list[dict[str, Any]]:
    return [json.loads(seen.body) for seen in list(plane.seen) if seen.target == ACTIVITY]


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the control plane says of the workspace: the last item."""
    said = ["idle"]
    before = Handler.do_POST

    def do_post(self: Handler) -> None:
        if self.path != ACTIVITY:
            before(self)
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.plane.seen.append(Seen(self.command, self.path, headers, body))
        self._send(200, answer(said[-1]), **{"Content-Type": "application/json"})

    monkeypatch.setattr(Handler, "do_POST", do_post)
    return said


@pytest.fixture
def reporting(state: list[str], plane: ControlPlane, tmp_path: Path) -> Iterator[Workspace]:
    """ada's server, as the Hub starts it; told that it is idle it reports every five seconds."""
    yield from Workspaces(tmp_path).running(
        {"PERIJOVE_URL": plane.url, "JUPYTERHUB_API_TOKEN": HUB_TOKEN, "JUPYTERHUB_USER": "ada"}
    )


def token_client(workspace: Workspace) -> httpx.Client:
    return httpx.Client(
        base_url=workspace.url,
        headers={"Authorization": f"token {BROWSER_TOKEN}"},
        trust_env=False,
        timeout=30,
    )


def test_silent_work_counts_and_its_end_is_checkpointed(
    reporting: Workspace, plane: ControlPlane, state: list[str], tmp_path: Path
) -> None:
    wait_until(lambda: reports(plane), what="a report")
    assert reports(plane)[0]["busy"] == []
    assert plane.seen[-1].headers["authorization"] == f"Bearer {HUB_TOKEN}"

    notebook = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    with token_client(reporting) as client:
        saved = client.put(
            "api/contents/train.ipynb", json={"type": "notebook", "content": notebook}
        )
        assert saved.status_code == 201, saved.text
        session = client.post(
            "api/sessions",
            json={
                "path": "train.ipynb",
                "name": "",
                "type": "notebook",
                "kernel": {"name": "python3"},
            },
        ).json()
        terminal = client.post("api/terminals").json()["name"]
        host = reporting.url.partition("://")[2]
        authorization = [f"Authorization: token {BROWSER_TOKEN}"]
        kernel_socket = websocket.create_connection(
            f"ws://{host}api/kernels/{session['kernel']['id']}/channels", header=authorization
        )
        terminal_socket = websocket.create_connection(
            f"ws://{host}terminals/websocket/{terminal}", header=authorization
        )
        kernel_socket.send(json.dumps(execute("import time; time.sleep(600)")))
        terminal_socket.send(json.dumps(["stdin", "sleep 600\r"]))

        wanted = {("kernel", "train.ipynb"), ("terminal", "sleep 600")}
        wait_until(lambda: wanted in busy_of(plane), what="both to be reported", seconds=60)
        client.post(f"api/kernels/{session['kernel']['id']}/interrupt").raise_for_status()
        terminal_socket.send(json.dumps(["stdin", "\x03"]))
        wait_until(lambda: busy_of(plane)[-1] == set(), what="their end", seconds=60)

        state.append("stopping")
        wait_until(lambda: any(r["checkpointed"] for r in reports(plane)), what="checkpoints")
        assert len(client.get("api/contents/train.ipynb/checkpoints").json()) == 1
        shown = client.get("perijove/workspace").json()
        assert shown["idle"]["state"] == "stopping"
        assert set(shown["memory"]) == {"used_mb", "limit_mb", "peak_mb", "kills"}
        kernel_socket.close()
        terminal_socket.close()
        # Threads that the checkpoints used must not keep the process for ever.
        reporting.child.terminate()
        wait_until(lambda: reporting.child.poll() is not None, what="the end of its process")


def busy_of(plane: ControlPlane) -> list[set[tuple[str, str]]]:
    return [{(item["kind"], item["name"]) for item in r["busy"]} for r in reports(plane)]


def execute(code: str) -> dict[str, Any]:
    return {
        "header": {
            "msg_id": "one",
            "msg_type": "execute_request",
            "session": "test",
            "username": "ada",
            "version": "5.3",
            "date": datetime.now(UTC).isoformat(),
        },
        "parent_header": {},
        "metadata": {},
        "content": {"code": code, "silent": False},
        "channel": "shell",
    }


@pytest.fixture
def without_a_hub(plane: ControlPlane, tmp_path: Path) -> Iterator[Workspace]:
    """A server that no Hub started, begun when nothing was recorded yet."""
    yield from Workspaces(tmp_path).running(
        {"PERIJOVE_URL": plane.url, "JUPYTERHUB_API_TOKEN": HUB_TOKEN}
    )


def test_a_server_without_a_hub_reports_nothing(
    without_a_hub: Workspace, plane: ControlPlane
) -> None:
    with token_client(without_a_hub) as client:
        assert client.get("perijove/workspace").json()["idle"] is None
        # The first report would come before any request is forwarded.
        assert client.get("perijove/api/jobs").status_code == 200
    assert plane.seen
    assert reports(plane) == []


def test_a_stranger_sees_nothing_of_the_workspace(workspace: Workspace) -> None:
    with workspace.stranger() as stranger:
        assert stranger.get("perijove/workspace").status_code == 403


def test_memory_is_read_from_either_kind_of_control_group(tmp_path: Path) -> None:
    new = tmp_path / "v2"
    new.mkdir()
    (new / "memory.max").write_text("2147483648\n")
    (new / "memory.current").write_text("1073741824\n")
    (new / "memory.events").write_text("low 0\noom 2\noom_kill 1\n")
    assert memory.read(new) == memory.Memory(1024.0, 2048.0, None, 1)
    old = tmp_path / "v1" / "memory"
    old.mkdir(parents=True)
    (old / "memory.limit_in_bytes").write_text("2147483648\n")
    (old / "memory.usage_in_bytes").write_text("1073741824\n")
    (old / "memory.max_usage_in_bytes").write_text("1610612736\n")
    (old / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
    assert memory.read(tmp_path / "v1") == memory.Memory(1024.0, 2048.0, 1536.0, 3)
    (old / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert memory.read(tmp_path / "v1") == memory.Memory(None, None, None, 0)
    assert memory.read(tmp_path / "nowhere") == memory.Memory(None, None, None, 0)

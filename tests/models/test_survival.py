"""Whatever is killed with -9, models go on answering or come back."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path

import httpx
import pytest

from perijove_hub.engine.exceptions import EngineDown
from perijove_hub.launch import Kind, LaunchError, Phase, Workload
from perijove_hub.store.models import ReplicaRow
from tests.fixtures.processes import process, wait_until
from tests.models.conftest import Serving

CALL = {"instances": [{"x": 0}]}

WORKER = """
import sys, time
from pathlib import Path
from perijove_hub.context import Context
from perijove_hub.launch.local import LocalLauncher
from perijove_hub.models.duty import DeploymentDuty
context = Context.open(Path(sys.argv[1]), None)
duty = DeploymentDuty(context, LocalLauncher(context.data.workloads))
while True:
    duty.tick()
    time.sleep(0.1)
"""


def answering(client: httpx.Client, name: str) -> int | None:
    """The replica's process id, or ``None`` while it does not answer."""
    answer = client.post(f"/{name}/invocations", json=CALL)
    assert answer.status_code in (200, 503), answer.text
    return int(answer.json()["predictions"][0]) if answer.status_code == 200 else None


def test_a_killed_replica_comes_back(serving: Serving) -> None:
    name = serving.ready("ada", "slow")
    with serving.as_user("ada") as client:
        first = answering(client, name)
        assert first is not None
        os.kill(first, signal.SIGKILL)
        serving.until(lambda: answering(client, name) not in (None, first), what="another replica")
    with serving.context.database.reading() as session:
        rows = {row.attempt: row for row in session.query(ReplicaRow)}
    assert rows[1].state == "failed"
    assert rows[1].reason is not None
    assert "signal 9" in rows[1].reason
    assert rows[2].state == "ready"


def test_a_killed_worker_interrupts_nobody_and_adopts_what_runs(
    serving: Serving, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", WORKER, str(serving.context.data.root)]
    serving.deploy("ada", "slow")
    statuses: list[int | None] = []
    done = threading.Event()

    def call_on() -> None:
        with serving.as_user("ada") as client:
            while not done.is_set():
                statuses.append(answering(client, "slow"))

    with serving.as_user("ada") as client:
        with process(command, log=tmp_path / "worker.log") as worker:
            wait_until(lambda: answering(client, "slow"), seconds=60, what="slow ready")
            caller = threading.Thread(target=call_on)
            caller.start()
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait(10)
        try:
            wait_until(lambda: len(statuses) > 20, what="calls without a worker")
            with process(command, log=tmp_path / "worker.log"):
                enough = len(statuses) + 100
                wait_until(lambda: len(statuses) > enough, what="calls with a new worker")
        finally:
            done.set()
            caller.join(10)
    assert len(set(statuses)) == 1, "one replica answered every call"
    assert None not in statuses
    assert [status.phase for status in serving.launcher.list()] == [Phase.running]


def test_replicas_come_back_after_the_machine_does(serving: Serving) -> None:
    """Every process dies at once, shims included, and nothing says how."""
    name = serving.ready("ada", "slow")
    with serving.as_user("ada") as client:
        first = answering(client, name)
        [status] = serving.launcher.list()
        for pid in (_shim(serving, status.name), first):
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: serving.launcher.poll(status.name).phase is Phase.gone, what="all dead")
        serving.until(lambda: answering(client, name) not in (None, first), what="a new replica")
    assert serving.show(name)["state"] == "ready"


def _shim(serving: Serving, workload: str) -> int:
    path = serving.context.data.workloads / workload / "shim.json"
    return int(json.loads(path.read_text())["pid"])


def test_a_replica_that_is_decided_on_starts_in_one_attempt(serving: Serving) -> None:
    serving.deploy("ada", "slow")
    serving.until(lambda: _rows(serving), what="the decision")
    with serving.context.database.reading() as session:
        [row] = session.query(ReplicaRow)
    assert row.state == "starting"
    serving.until(lambda: serving.show("slow")["state"] == "ready", what="ready")
    assert _rows(serving) == 1, "no second attempt was needed"


def _rows(serving: Serving) -> int:
    with serving.context.database.reading() as session:
        return session.query(ReplicaRow).count()


def test_a_half_downloaded_model_never_passes_for_one(serving: Serving) -> None:
    models = serving.context.data.root / "models"
    half = models / ".part-0-dead-1"
    half.mkdir(parents=True)
    (half / "MLmodel").write_text("half")
    serving.deploy("ada", "slow")
    serving.until(lambda: serving.show("slow")["state"] == "ready", what="ready")
    assert not half.exists()


def test_replicas_nobody_asked_for_are_ended(serving: Serving) -> None:
    serving.launcher.start(
        Workload(
            name="replica-unknown-1-1",
            kind=Kind.service,
            command=("/bin/sleep", "600"),
            labels={"kind": "replica", "id": "unknown", "attempt": "1"},
        )
    )
    serving.launcher.start(
        Workload(
            name="run-1",
            kind=Kind.task,
            command=("/bin/sleep", "600"),
            labels={"kind": "run", "id": "1", "attempt": "1"},
        )
    )
    serving.until(
        lambda: [status.name for status in serving.launcher.list()] == ["run-1"],
        what="the stranger's end",
    )
    assert serving.launcher.poll("run-1").phase is Phase.running, "runs are not our concern"


def test_what_keeps_a_replica_from_starting_is_said(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(error: Exception) -> None:
        def start(workload: Workload) -> None:
            raise error

        monkeypatch.setattr(serving.launcher, "start", start)

    fails(EngineDown("No Docker engine answers."))
    serving.deploy("ada", "slow")
    said = "No Docker engine answers. Trying again."
    serving.until(lambda: serving.show("slow")["reason"] == said, what="the engine's absence")
    fails(LaunchError("the image is not on this Docker engine"))
    said = "could not be started: the image is not on this Docker engine. Starting again"
    serving.until(lambda: said in str(serving.show("slow")["reason"]), what="the reason")
    monkeypatch.undo()
    serving.until(lambda: serving.show("slow")["state"] == "ready", what="it is started")


def test_a_model_that_always_dies_is_given_up_with_the_reason(serving: Serving) -> None:
    serving.deploy("ada", "moody", 2)
    seen: list[str | None] = []

    def look() -> bool:
        deployment = serving.show("moody")
        seen.append(deployment["reason"])
        return bool(deployment["state"] == "failed")

    serving.until(look, what="given up")
    assert any(reason and "Starting again" in reason for reason in seen)
    assert "No module named 'sparkling'" in str(seen[-1])
    rows = _rows(serving)
    for _ in range(3):
        serving.duty.tick()
    assert _rows(serving) == rows, "nothing more is tried"
    answer = serving.deploy("ada", "moody", 1, name="moody")
    assert answer.status_code == 200
    serving.until(lambda: serving.show("moody")["state"] == "ready", what="version 1 ready")

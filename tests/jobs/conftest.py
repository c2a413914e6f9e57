"""A control plane's jobs on a fresh data directory, without a Hub."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from perijove.types.base import Principal
from perijove.types.jobs import Job, JobCreate, Run, RunCreate, Schedule
from perijove_hub.access import VERBS, scope
from perijove_hub.context import Context, Topology
from perijove_hub.jobs.backfills.duty import BackfillDuty
from perijove_hub.jobs.duty import JobDuty
from perijove_hub.jobs.runs import RunService
from perijove_hub.jobs.service import JobService
from perijove_hub.jobs.sweeps.duty import SweepDuty
from perijove_hub.launch import Phase
from perijove_hub.launch.local import LocalLauncher
from tests.fixtures.api import Api
from tests.jobs.notebooks import code, notebook
from tests.jobs.nursing import Nursery


def someone(name: str, *groups: str, admin: bool = False) -> Principal:
    """Make a user with every verb."""
    scopes = [scope(verb) for verb in VERBS]
    return Principal(name=name, groups=list(groups), admin=admin, scopes=scopes)


ADA = someone("ada", "research")
BOB = someone("bob", "research")
GRACE = someone("grace", "risk")
ADMIN = someone("admin", admin=True)

TUTORIAL = notebook(
    code("C: float = 0.5  # strength", tags=["parameters"]), code("print('C =', C)")
)


@dataclass
class Platform:
    """Jobs, runs and the worker's duty, driven by hand."""

    context: Context
    launcher: LocalLauncher = field(init=False)
    duty: JobDuty = field(init=False)

    def __post_init__(self) -> None:
        self.launcher = LocalLauncher(self.context.data.workloads)
        self.restart()

    def restart(self) -> None:
        """Forget all a worker has in memory, as kill -9 does."""
        self.duty = JobDuty(self.context, self.launcher)

    @property
    def jobs(self) -> JobService:
        return JobService(self.context)

    @property
    def runs(self) -> RunService:
        return RunService(self.context, self.launcher)

    def promote(
        self,
        content: Any = TUTORIAL,
        *,
        name: str = "tutorial",
        by: Principal = ADA,
        schedule: Schedule | None = None,
        **more: Any,
    ) -> Job:
        body = JobCreate(name=name, notebook=content, schedule=schedule, **more)
        return self.jobs.promote(by, body, key=None)[0]

    def run(self, job: Job, by: Principal = ADA, **parameters: Any) -> Run:
        return self.runs.create(by, job.id, RunCreate(parameters=parameters), key=None)

    def get(self, run: Run) -> Run:
        return self.runs.get(ADMIN, run.id)

    def log(self, run: Run) -> str:
        text, offset = "", 0
        while True:
            chunk = self.runs.logs(ADMIN, run.id, offset)
            text += chunk.text
            if chunk.ended or chunk.next_offset == offset:
                return text
            offset = chunk.next_offset

    def tick_until(self, condition: Any, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while True:
            self.duty.tick()
            if condition():
                return
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.05)

    def finished(self, run: Run) -> Run:
        self.tick_until(lambda: self.get(run).state.terminal)
        return self.get(run)


def a_topology() -> Topology:
    """Say where the parts would be; nothing listens there."""
    return Topology(
        public_url="http://127.0.0.1:1",
        hub_api_url="http://127.0.0.1:1/hub/api",
        host="127.0.0.1",
        api_port=1,
        mlflow_port=1,
        gateway_port=1,
    )


@pytest.fixture
def platform(context: Context) -> Iterator[Platform]:
    a_topology().save(context.data.run / "topology.json")
    found = Platform(context)
    yield found
    for status in found.launcher.list():
        found.launcher.stop(status.name)
    deadline = time.monotonic() + 30
    while any(status.phase is Phase.running for status in found.launcher.list()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Real workers, forked from one process that has imported everything."""
    with Nursery.running() as found:
        yield found


@pytest.fixture
def ada(api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Api]:
    """Be ada in a workspace, with a worker; her notebook is Tutorial.ipynb."""
    monkeypatch.setenv("PERIJOVE_URL", api.url.removesuffix("/api/v1"))
    monkeypatch.setenv("PERIJOVE_TOKEN", api.hub.token("ada"))
    monkeypatch.chdir(tmp_path)
    Path("Tutorial.ipynb").write_text(json.dumps(TUTORIAL))
    stopping = threading.Event()
    launcher = LocalLauncher(api.context.data.workloads)
    duties = [
        JobDuty(api.context, launcher),
        BackfillDuty(api.context),
        SweepDuty(api.context),
    ]

    def work() -> None:
        while not stopping.wait(0.1):
            for duty in duties:
                duty.tick()

    thread = threading.Thread(target=work)
    thread.start()
    yield api
    stopping.set()
    thread.join()
    for status in launcher.list():
        launcher.stop(status.name)

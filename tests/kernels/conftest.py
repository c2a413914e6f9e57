"""A control plane with an API that can be killed, a worker, and kernels as local processes."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager

from perijove_hub.api.app import API
from perijove_hub.context import Context, Topology
from perijove_hub.kernels import duty
from perijove_hub.launch.local import LocalLauncher
from perijove_hub.paths import DataDir
from perijove_hub.store.migrate import upgrade
from perijove_hub.store.models import GpuRow, KernelRow
from tests.fixtures.hub import Hub
from tests.fixtures.processes import answers, free_port, pythonpath, wait_until

SETTINGS = """
[workspaces]
default_size = "small"
[workspaces.sizes.small]
memory_mb = 1024
[workspaces.sizes.tiny]
memory_mb = 512
gpus = 0
[workspaces.sizes.gpu]
memory_mb = 1024
gpus = 1
price = 2.0
[workspaces.sizes.half]
memory_mb = 1024
gpus = 0.5
groups = ["risk"]
[workspaces.sizes.cluster]
memory_mb = 1024
gpus = 64
[usage.quotas.watched]
hours = 0.5
"""


@dataclass
class Platform:
    """The API as a process, the worker's duty as a thread, and who to be towards them."""

    root: Path
    hub: Hub
    config: Path
    context: Context = field(init=False)
    launcher: LocalLauncher = field(init=False)
    _api: subprocess.Popen[bytes] | None = None
    _stop: threading.Event = field(default_factory=threading.Event)
    workers: int = 1
    """How many do the kernels' duty at the same time."""
    _working: list[threading.Thread] = field(default_factory=list)

    def __post_init__(self) -> None:
        data = DataDir.open(self.root)
        shutil.copytree(self.hub.data.secrets, data.secrets, dirs_exist_ok=True)
        topology = Topology.load(self.hub.data.run / "topology.json")
        replace(topology, api_port=free_port(), mlflow_port=free_port()).save(
            data.run / "topology.json"
        )
        self.context = Context.open(self.root, self.config)
        upgrade(self.context.database)
        self.launcher = LocalLauncher(data.workloads)
        for user in ("ada", "grace"):
            (data.homes / user).mkdir()
        with self.context.database.session() as session:
            session.add(GpuRow(id="GPU-0"))

    @property
    def url(self) -> str:
        return self.context.topology.api_url

    def start_api(self) -> None:
        """Start the API and wait until it answers."""
        with (self.root / "api.log").open("ab") as out:
            self._api = subprocess.Popen(
                [
                    *(sys.executable, "-m", "perijove_hub.cli", "api"),
                    *("--data-dir", str(self.root), "--config", str(self.config)),
                ],
                stdout=out,
                stderr=out,
                env={**os.environ, "PYTHONPATH": pythonpath()},
            )
        wait_until(lambda: answers(f"{self.url}/api/health"), seconds=90, what="the API")

    def kill_api(self) -> None:
        """Take it away as a crash does."""
        assert self._api is not None
        self._api.send_signal(signal.SIGKILL)
        self._api.wait(10)

    def start_worker(self) -> None:
        """Do the kernels' duty, from nothing but database and launcher."""
        self._stop = threading.Event()

        def repeat(work: duty.KernelDuty) -> None:
            while not self._stop.wait(0.1):
                work.tick()

        for _ in range(self.workers):
            work = duty.KernelDuty(self.context, LocalLauncher(self.context.data.workloads))
            self._working.append(threading.Thread(target=repeat, args=(work,), daemon=True))
            self._working[-1].start()

    def stop_worker(self) -> None:
        """Leave everything as it is."""
        self._stop.set()
        while self._working:
            self._working.pop().join(20)

    def client(self, user: str | None = "ada", *, token: str | None = None) -> httpx.Client:
        """Return a client of the API with a user's token."""
        if user is not None:
            token = token or self.hub.token(user)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(
            base_url=self.context.topology.api_url.removesuffix("/services/perijove") + API,
            headers=headers,
            timeout=30,
            trust_env=False,
        )

    def row(self, kernel_id: str) -> KernelRow:
        with self.context.database.reading() as session:
            return session.get_one(KernelRow, kernel_id)

    def change(self, kernel_id: str, do: Callable[[KernelRow], object]) -> None:
        """Change a row behind everybody's back."""
        with self.context.database.session() as session:
            do(session.get_one(KernelRow, kernel_id))

    def close(self) -> None:
        """End everything that was started."""
        self.stop_worker()
        if self._api is not None and self._api.poll() is None:
            self._api.terminate()
            self._api.wait(15)
        for status in self.launcher.list():
            self.launcher.stop(status.name)
        wait_until(
            lambda: all(s.phase.value != "running" for s in self.launcher.list()),
            what="the kernels' end",
        )
        self.context.database.close()


@contextlib.contextmanager
def served(folder: Path, hub: Hub, settings: str, *, workers: int = 1) -> Iterator[Platform]:
    """Run a control plane that asks its kernels more often than it has to."""
    config = folder / "perijove.toml"
    config.write_text(settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duty, "ASK_EVERY", 0.5)
        found = Platform(folder / "data", hub, config, workers=workers)
        try:
            found.start_api()
            found.start_worker()
            yield found
        finally:
            found.close()


@pytest.fixture(scope="session")
def platform(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """One for all tests here; each leaves it without kernels."""
    with served(tmp_path_factory.mktemp("kernels"), hub, SETTINGS) as found:
        yield found


@dataclass
class Someone:
    """A user as the control plane knows them."""

    http: httpx.Client

    @property
    def token(self) -> str:
        return str(self.http.headers["Authorization"].removeprefix("Bearer "))

    def kernels(self, *, over: bool = False) -> list[dict[str, Any]]:
        """Their kernels, newest first."""
        found = self.http.get("/kernels", params={"over": over}).raise_for_status().json()
        return list(found["items"])

    def only(self) -> dict[str, Any]:
        """The one kernel there is."""
        [kernel] = self.kernels()
        return kernel

    def kernel(self, kernel_id: str) -> dict[str, Any]:
        """One kernel."""
        return dict(self.http.get(f"/kernels/{kernel_id}").raise_for_status().json())

    def queue(self, size: str) -> str:
        """Ask for a kernel that nobody will use; return its id."""
        answer = self.http.post("/kernels", json={"size": size})
        return str(answer.raise_for_status().json()["id"])

    def interrupt(self, kernel_id: str) -> None:
        """Interrupt what runs."""
        self.http.post(f"/kernels/{kernel_id}/interrupt").raise_for_status()

    def stop(self, kernel_id: str) -> None:
        """Stop a kernel."""
        self.http.delete(f"/kernels/{kernel_id}").raise_for_status()


@pytest.fixture
def ada(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Iterator[Someone]:
    """ada, whose Jupyter server is this process; her kernels end with the test."""
    with platform.client("ada") as client:
        someone = Someone(client)
        monkeypatch.setenv("PERIJOVE_URL", platform.url)
        monkeypatch.setenv("PERIJOVE_TOKEN", someone.token)
        yield someone
        for kernel in someone.kernels():
            someone.stop(kernel["id"])
        wait_until(lambda: not someone.kernels(), what="the kernels' end")


class Manager(AsyncKernelManager):
    """A kernel manager whose kernel is remote."""

    def __init__(self, size: str = "small", **config: Any) -> None:
        super().__init__(kernel_name="perijove-test")
        self._kernel_spec = KernelSpec(
            argv=["python"],
            display_name="Python (GPU)",
            language="python",
            interrupt_mode="message",
            env={"GREETING": "hello"},
            metadata={
                "kernel_provisioner": {
                    "provisioner_name": "perijove",
                    "config": {"size": size, **config},
                }
            },
        )


@contextlib.asynccontextmanager
async def running(
    size: str = "small", **more: Any
) -> AsyncIterator[tuple[Manager, AsyncKernelClient]]:
    """A remote kernel and a client of it."""
    manager = Manager(size)
    await manager.start_kernel(**more)
    client = manager.client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=30)
        yield manager, client
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)


async def execute(client: AsyncKernelClient, code: str, seconds: float = 30) -> str:
    """Run ``code`` and return what it prints; an error raises ``AssertionError``."""
    printed: list[str] = []

    def hear(message: dict[str, Any]) -> None:
        if message["msg_type"] == "stream":
            printed.append(message["content"]["text"])

    reply = await client.execute_interactive(code, output_hook=hear, timeout=seconds)
    content = reply["content"]
    assert content["status"] == "ok", content
    return "".join(printed)

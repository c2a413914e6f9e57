"""Launchers on an empty folder, whose workloads end with the test."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from perijove_hub.context import Context, Topology
from perijove_hub.engine import Names, firewall, network
from perijove_hub.engine.ready import IMAGE, why_not
from perijove_hub.launch import Kind, Launcher, Phase, Status, Workload
from perijove_hub.launch.docker import DockerLauncher
from perijove_hub.launch.local import LocalLauncher
from tests.docker.conftest import engine as engine
from tests.fixtures.processes import ROOT


@pytest.fixture(scope="session")
def image(engine: None) -> str:
    """An image with Python; which version of Perijove is in it matters little here."""
    if why_not():
        subprocess.run([sys.executable, ROOT / "images" / "build", "cpu"], check=True)
    assert why_not() is None
    return IMAGE


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalLauncher]:
    """Processes of this machine."""
    found = LocalLauncher(tmp_path / "workloads")
    yield found
    _end_all(found)


@pytest.fixture
def contained(tmp_path: Path, image: str) -> Iterator[DockerLauncher]:
    """Containers on a network of their own."""
    context = contained_context(tmp_path / "data")
    found = DockerLauncher(context)
    yield found
    _end_all(found)
    for status in found.list():
        found.remove(status.name)
    found.close()
    names = Names.of(context.data.root)
    assert network.remove(names)
    firewall.lift(names)


@pytest.fixture(params=["local", pytest.param("contained", marks=pytest.mark.docker)])
def launcher(request: pytest.FixtureRequest) -> Launcher:
    """Each launcher in turn."""
    found: Launcher = request.getfixturevalue(request.param)
    return found


def contained_context(root: Path) -> Context:
    """Return the context of a Perijove in Docker whose parts listen nowhere."""
    context = Context.open(root, None)
    host = network.ensure(Names.of(context.data.root))
    topology = Topology(
        public_url="http://127.0.0.1:8000",
        hub_api_url=f"http://{host}:18081/hub/api",
        host=host,
        api_port=18010,
        mlflow_port=18011,
        gateway_port=18012,
        spawner="docker",
    )
    topology.save(context.data.run / "topology.json")
    firewall.enforce(Names.of(context.data.root), topology, [])
    return context


def _end_all(launcher: Launcher) -> None:
    for status in launcher.list():
        launcher.stop(status.name)
    for status in launcher.list():
        until(lambda name=status.name: launcher.poll(name).phase is not Phase.running)


def python(name: str, code: str, **more: object) -> Workload:
    """Describe a workload that runs ``code``."""
    command = ("python", "-I", "-S", "-u", "-c", code)
    return Workload(name=name, kind=Kind.task, command=command, **more)  # type: ignore[arg-type]


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def ended(launcher: Launcher, name: str) -> Status:
    """Wait for a workload's end and return its status."""
    until(lambda: launcher.poll(name).phase is not Phase.running)
    return launcher.poll(name)


def read(launcher: Launcher, name: str) -> str:
    """Return everything a workload has printed."""
    return launcher.logs(name, 0, 10_000_000)[0].decode()

"""A local launcher on an empty folder, whose workloads end with the test."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from perijove_hub.launch import Kind, Phase, Status, Workload
from perijove_hub.launch.local import LocalLauncher


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[LocalLauncher]:
    found = LocalLauncher(tmp_path / "workloads")
    yield found
    for status in found.list():
        found.stop(status.name)
    for status in found.list():
        until(lambda name=status.name: found.poll(name).phase is not Phase.running)


def python(name: str, code: str, **more: object) -> Workload:
    """Describe a workload that runs ``code``."""
    command = (sys.executable, "-I", "-S", "-u", "-c", code)
    return Workload(name=name, kind=Kind.task, command=command, **more)  # type: ignore[arg-type]


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def ended(launcher: LocalLauncher, name: str) -> Status:
    """Wait for a workload's end and return its status."""
    until(lambda: launcher.poll(name).phase is not Phase.running)
    return launcher.poll(name)

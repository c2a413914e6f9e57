"""The worker process: killed, followed, told to end; what it started goes on."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from perijove.types.jobs import Run, RunState
from perijove_hub import worker
from perijove_hub.jobs.names import workload_name
from perijove_hub.launch import Phase
from tests.fixtures.processes import process, wait_until
from tests.jobs.conftest import Platform
from tests.jobs.notebooks import code, notebook


@contextmanager
def running(platform: Platform, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    data = str(platform.context.data.root)
    command = [sys.executable, "-m", "perijove_hub.cli", "worker", "--data-dir", data]
    with process(command, log=log) as child:
        yield child


def started(platform: Platform, run: Run) -> bool:
    return "started" in platform.log(run)


def slow(platform: Platform, marks: Path, go: Path) -> Run:
    """Start a run that ends once ``go`` is there."""
    source = (
        f"open({str(marks)!r}, 'a').write('x')\nprint('started', flush=True)\n"
        f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.02)"
    )
    return platform.run(platform.promote(notebook(code(source))))


def test_a_killed_worker_is_followed_by_one_that_finishes_its_run_once(
    platform: Platform, tmp_path: Path
) -> None:
    log, marks, go = tmp_path / "log", tmp_path / "marks", tmp_path / "go"
    run = slow(platform, marks, go)
    with running(platform, log) as first:
        wait_until(lambda: started(platform, run), seconds=60)
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert platform.get(run).state is RunState.running
    with running(platform, log):
        wait_until(lambda: log.read_text().count("worker ready") == 2, seconds=60)
        go.touch()
        wait_until(lambda: platform.get(run).state.terminal, seconds=60)
    assert platform.get(run).state is RunState.succeeded
    assert marks.read_text() == "x"


def test_sigterm_ends_the_worker_within_a_second_and_its_runs_go_on(
    platform: Platform, tmp_path: Path
) -> None:
    run = slow(platform, tmp_path / "marks", tmp_path / "never")
    with running(platform, tmp_path / "log") as child:
        wait_until(lambda: started(platform, run), seconds=60)
        before = time.monotonic()
        child.send_signal(signal.SIGTERM)
        assert child.wait(10) == 0
        assert time.monotonic() - before < 2
    name = workload_name(run.id, 1)
    assert platform.launcher.poll(name).phase is Phase.running


def test_a_second_worker_stands_by_until_the_first_is_gone(
    platform: Platform, tmp_path: Path
) -> None:
    log = tmp_path / "second"
    with running(platform, tmp_path / "first") as first:
        wait_until((platform.context.data.run / "worker.lock").exists, seconds=30)
        wait_until(lambda: "worker ready" in (tmp_path / "first").read_text(), seconds=30)
        with running(platform, log):
            wait_until(lambda: "standing by" in log.read_text(), seconds=30)
            first.send_signal(signal.SIGKILL)
            wait_until(lambda: "worker ready" in log.read_text(), seconds=30)


class Failing:
    name = "failing"
    period = 0.01

    def __init__(self) -> None:
        self.ticks = 0

    def tick(self) -> None:
        self.ticks += 1
        raise RuntimeError("again")


class Working:
    name = "working"
    period = 0.01

    def __init__(self) -> None:
        self.ticks = 0

    def tick(self) -> None:
        self.ticks += 1


def test_a_duty_that_fails_is_tried_again_and_harms_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failing, working, stopping = Failing(), Working(), threading.Event()
    thread = threading.Thread(target=worker.work, args=([failing, working], stopping))
    thread.start()
    wait_until(lambda: failing.ticks >= 3 and working.ticks >= 10)
    stopping.set()
    thread.join(5)
    assert not thread.is_alive()
    # It waits longer each time, the other does not.
    assert failing.ticks < working.ticks
    assert "failing failed; trying again" in caplog.text

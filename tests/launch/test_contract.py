"""Every launcher keeps these promises."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from perijove_hub.launch import Launcher, NameTaken, Phase
from tests.launch.conftest import ended, python, read, until

SLEEP = "import time; print('up', flush=True); time.sleep(600)"


def running(launcher: Launcher, name: str) -> None:
    """Wait until the workload's own code runs."""
    until(lambda: "up" in read(launcher, name))


def test_a_workload_ends_with_its_exit_code_and_output(launcher: Launcher) -> None:
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    launcher.start(python("one", code, labels={"id": "1"}))
    status = ended(launcher, "one")
    assert (status.phase, status.exit_code, status.cause) == (Phase.ended, 3, None)
    assert status.labels == {"id": "1"}
    assert status.peak_memory_mb and status.peak_memory_mb > 1
    assert status.started_at and status.ended_at and status.ended_at >= status.started_at
    assert read(launcher, "one") == "out\nerr\n"


def test_logs_continue_from_an_offset(launcher: Launcher) -> None:
    launcher.start(python("one", "print('0123456789')"))
    ended(launcher, "one")
    assert launcher.logs("one", 3, 4) == (b"3456", 7)
    assert launcher.logs("one", 99, 4) == (b"", 99)


def test_a_second_start_of_a_name_collides_even_after_the_first_ended(
    launcher: Launcher,
) -> None:
    launcher.start(python("one", "pass"))
    with pytest.raises(NameTaken):
        launcher.start(python("one", "pass"))
    ended(launcher, "one")
    with pytest.raises(NameTaken):
        launcher.start(python("one", "pass"))


@pytest.mark.parametrize("name", ["", "..", "a/b", ".new-x", "a\0b", "x" * 200])
def test_a_name_that_is_no_path_component_is_refused(launcher: Launcher, name: str) -> None:
    with pytest.raises(ValueError, match="path component"):
        launcher.start(python(name, "pass"))


def test_an_unknown_name_is_gone(launcher: Launcher) -> None:
    assert launcher.poll("nobody").phase is Phase.gone
    launcher.stop("nobody")
    launcher.remove("nobody")
    assert launcher.list() == []


def test_a_command_that_is_not_there_says_so(launcher: Launcher) -> None:
    workload = python("one", "")
    workload = type(workload)(name="one", kind=workload.kind, command=("/no/such/program",))
    launcher.start(workload)
    assert ended(launcher, "one").exit_code == 127
    assert "/no/such/program cannot be started: No such file" in read(launcher, "one")


def test_one_that_ignores_sigterm_is_killed_after_its_grace(launcher: Launcher) -> None:
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEP
    launcher.start(python("one", code, grace_s=0.3))
    running(launcher, "one")
    launcher.stop("one")
    assert ended(launcher, "one").exit_code == -signal.SIGKILL


def test_the_wall_clock_limit_ends_it(launcher: Launcher) -> None:
    launcher.start(python("one", SLEEP, timeout_s=0.5))
    status = ended(launcher, "one")
    assert status.cause == "timeout"


def test_the_memory_limit_counts_the_whole_tree(launcher: Launcher) -> None:
    child = "import time; x = bytearray(60_000_000); time.sleep(600)"
    code = f"""
import subprocess, sys, time
for _ in range(3):
    subprocess.Popen([sys.executable, "-I", "-S", "-c", {child!r}], start_new_session=True)
time.sleep(600)
"""
    launcher.start(python("one", code, memory_mb=128))
    status = ended(launcher, "one")
    assert status.cause == "memory"
    assert status.peak_memory_mb and status.peak_memory_mb >= 128


def test_a_given_directory_is_used_and_stays_its_owners(launcher: Launcher, tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    launcher.start(python("one", "open('made', 'w').close()", directory=given))
    ended(launcher, "one")
    assert launcher.directory("one") == given
    launcher.remove("one")
    assert (given / "made").exists()


def test_folders_in_folders_without_end_are_deleted(launcher: Launcher) -> None:
    code = "import os\nfor _ in range(1500): os.mkdir('d'); os.chdir('d')"
    launcher.start(python("one", code))
    assert ended(launcher, "one").exit_code == 0
    launcher.remove("one")
    assert launcher.list() == []


def test_one_that_runs_cannot_be_removed(launcher: Launcher) -> None:
    launcher.start(python("one", SLEEP))
    with pytest.raises(ValueError, match="still running"):
        launcher.remove("one")

"""The local launcher keeps its promises whoever dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from perijove_hub.launch import NameTaken, Phase
from perijove_hub.launch.local import LocalLauncher
from tests.launch.conftest import ended, python, until

SLEEP = "import time; print('up', flush=True); time.sleep(600)"


def read(launcher: LocalLauncher, name: str) -> str:
    return launcher.logs(name, 0, 10_000_000)[0].decode()


def running(launcher: LocalLauncher, name: str) -> int:
    """Wait until the workload's own code runs; return its shim's process id."""
    until(lambda: "up" in read(launcher, name))
    shim: int = json.loads((launcher._root / name / "shim.json").read_text())["pid"]
    return shim


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_a_workload_ends_with_its_exit_code_and_output(launcher: LocalLauncher) -> None:
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    launcher.start(python("one", code, labels={"id": "1"}))
    status = ended(launcher, "one")
    assert (status.phase, status.exit_code, status.cause) == (Phase.ended, 3, None)
    assert status.labels == {"id": "1"}
    assert status.peak_memory_mb and status.peak_memory_mb > 1
    assert status.started_at and status.ended_at and status.ended_at >= status.started_at
    assert read(launcher, "one") == "out\nerr\n"


def test_logs_continue_from_an_offset(launcher: LocalLauncher) -> None:
    launcher.start(python("one", "print('0123456789')"))
    ended(launcher, "one")
    assert launcher.logs("one", 3, 4) == (b"3456", 7)
    assert launcher.logs("one", 99, 4) == (b"", 99)


def test_a_second_start_of_a_name_collides_even_after_the_first_ended(
    launcher: LocalLauncher,
) -> None:
    launcher.start(python("one", "pass"))
    with pytest.raises(NameTaken):
        launcher.start(python("one", "pass"))
    ended(launcher, "one")
    with pytest.raises(NameTaken):
        launcher.start(python("one", "pass"))


@pytest.mark.parametrize("name", ["", "..", "a/b", ".new-x", "a\0b", "x" * 200])
def test_a_name_that_is_no_path_component_is_refused(launcher: LocalLauncher, name: str) -> None:
    with pytest.raises(ValueError, match="path component"):
        launcher.start(python(name, "pass"))


def test_an_unknown_name_is_gone(launcher: LocalLauncher) -> None:
    assert launcher.poll("nobody").phase is Phase.gone
    launcher.stop("nobody")
    launcher.remove("nobody")
    assert launcher.list() == []


def test_a_command_that_is_not_there_says_so(launcher: LocalLauncher) -> None:
    workload = python("one", "")
    workload = type(workload)(name="one", kind=workload.kind, command=("/no/such/program",))
    launcher.start(workload)
    assert ended(launcher, "one").exit_code == 127
    assert "/no/such/program cannot be started: No such file" in read(launcher, "one")


def test_stop_works_from_a_process_that_did_not_start_it(
    launcher: LocalLauncher, tmp_path: Path
) -> None:
    launcher.start(python("one", SLEEP))
    running(launcher, "one")
    other = "from pathlib import Path; from perijove_hub.launch.local import LocalLauncher; "
    other += f"LocalLauncher(Path({str(launcher._root)!r})).stop('one')"
    subprocess.run([sys.executable, "-c", other], check=True)
    status = ended(launcher, "one")
    assert (status.cause, status.exit_code) == ("stopped", -signal.SIGTERM)


def test_one_that_ignores_sigterm_is_killed_after_its_grace(launcher: LocalLauncher) -> None:
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEP
    launcher.start(python("one", code, grace_s=0.3))
    running(launcher, "one")
    launcher.stop("one")
    assert ended(launcher, "one").exit_code == -signal.SIGKILL


def test_the_wall_clock_limit_ends_it(launcher: LocalLauncher) -> None:
    launcher.start(python("one", SLEEP, timeout_s=0.5))
    status = ended(launcher, "one")
    assert status.cause == "timeout"


def test_the_memory_limit_counts_the_whole_tree(launcher: LocalLauncher) -> None:
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
    assert status.peak_memory_mb and status.peak_memory_mb > 128


def test_nothing_a_workload_started_outlives_it(launcher: LocalLauncher) -> None:
    # A daemon: its own session, and its parent gone at once.
    code = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        time.sleep(600)
    os._exit(0)
time.sleep(0.5)
"""
    launcher.start(python("one", code))
    ended(launcher, "one")
    assert not alive(int(read(launcher, "one")))


def test_it_outlives_the_process_that_started_it(launcher: LocalLauncher) -> None:
    starter = f"""
import os, sys, time
from pathlib import Path
from perijove_hub.launch import Kind, Workload
from perijove_hub.launch.local import LocalLauncher
LocalLauncher(Path({str(launcher._root)!r})).start(
    Workload(name="one", kind=Kind.task, command=(sys.executable, "-c", {SLEEP!r})))
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", starter]).returncode == -signal.SIGKILL
    running(launcher, "one")
    assert [status.name for status in launcher.list()] == ["one"]
    assert launcher.poll("one").phase is Phase.running


def test_a_killed_shim_takes_everything_with_it_and_the_workload_is_gone(
    launcher: LocalLauncher,
) -> None:
    code = f"""
import subprocess, sys
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
{SLEEP}
"""
    launcher.start(python("one", code))
    shim = running(launcher, "one")
    mark = json.loads((launcher._root / "one" / "spec.json").read_text())["mark"].encode()
    os.kill(shim, signal.SIGKILL)
    until(lambda: launcher.poll("one").phase is Phase.gone)
    launcher.stop("one")
    until(lambda: not any(mark in environment for environment in environments()))
    launcher.remove("one")
    assert launcher.list() == []


def environments() -> Iterator[bytes]:
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            yield (entry / "environ").read_bytes()


def test_one_whose_starter_died_before_the_start_is_gone_and_its_name_stays_taken(
    launcher: LocalLauncher,
) -> None:
    # What is left by kill -9 between the folder's appearance and the shim's start.
    folder = launcher._root / "one"
    folder.mkdir()
    (folder / "lock").touch()
    (folder / "spec.json").write_text(json.dumps({"labels": {"id": "1"}, "mark": "x"}))
    status = launcher.poll("one")
    assert (status.phase, status.labels) == (Phase.gone, {"id": "1"})
    with pytest.raises(NameTaken):
        launcher.start(python("one", "pass"))


def test_half_made_folders_are_swept_and_never_listed(launcher: LocalLauncher) -> None:
    (launcher._root / ".new-dead").mkdir()
    assert launcher.list() == []
    launcher.start(python("one", "pass"))
    assert not (launcher._root / ".new-dead").exists()


def test_the_control_planes_secrets_do_not_leak_in(
    launcher: LocalLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "hub-secret")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    workload = python(
        "one",
        "import os, json; print(json.dumps(dict(os.environ)))",
        environment={"PERIJOVE_RUN_ID": "r1"},
        secrets={"PERIJOVE_TOKEN": "run-secret"},
    )
    launcher.start(workload)
    ended(launcher, "one")
    seen = json.loads(read(launcher, "one"))
    assert seen["PERIJOVE_TOKEN"] == "run-secret"
    assert seen["PERIJOVE_RUN_ID"] == "r1"
    assert "JUPYTERHUB_API_TOKEN" not in seen
    assert "PYTHONPATH" not in seen
    on_disk = b"".join(
        p.read_bytes()
        for p in (launcher._root / "one").rglob("*")
        if p.is_file() and p.name != "log"
    )
    assert b"run-secret" not in on_disk


def test_a_given_directory_is_used_and_stays_its_owners(
    launcher: LocalLauncher, tmp_path: Path
) -> None:
    given = tmp_path / "given"
    given.mkdir()
    launcher.start(python("one", "open('made', 'w').close()", directory=given))
    ended(launcher, "one")
    assert launcher.directory("one") == given
    launcher.remove("one")
    assert (given / "made").exists()


def test_one_that_runs_cannot_be_removed(launcher: LocalLauncher) -> None:
    launcher.start(python("one", SLEEP))
    with pytest.raises(ValueError, match="still running"):
        launcher.remove("one")

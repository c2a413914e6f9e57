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
from tests.jobs.test_outputs import small_disk
from tests.launch.conftest import ended, python, read, until

SLEEP = "import time; print('up', flush=True); time.sleep(600)"


def running(local: LocalLauncher, name: str) -> int:
    """Wait until the workload's own code runs; return its shim's process id."""
    until(lambda: "up" in read(local, name))
    shim: int = json.loads((local._root / name / "shim.json").read_text())["pid"]
    return shim


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_stop_works_from_a_process_that_did_not_start_it(
    local: LocalLauncher, tmp_path: Path
) -> None:
    local.start(python("one", SLEEP))
    running(local, "one")
    other = "from pathlib import Path; from perijove_hub.launch.local import LocalLauncher; "
    other += f"LocalLauncher(Path({str(local._root)!r})).stop('one')"
    subprocess.run([sys.executable, "-c", other], check=True)
    status = ended(local, "one")
    assert (status.cause, status.exit_code) == ("stopped", -signal.SIGTERM)


def test_nothing_a_workload_started_outlives_it(local: LocalLauncher) -> None:
    # A daemon: its own session, and its parent gone at once.
    code = """
import os, time
ours, theirs = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        os.write(theirs, b"x")
        time.sleep(600)
    os._exit(0)
os.read(ours, 1)
"""
    local.start(python("one", code))
    ended(local, "one")
    assert not alive(int(read(local, "one")))


def test_it_outlives_the_process_that_started_it(local: LocalLauncher) -> None:
    starter = f"""
import os, sys, time
from pathlib import Path
from perijove_hub.launch import Kind, Workload
from perijove_hub.launch.local import LocalLauncher
LocalLauncher(Path({str(local._root)!r})).start(
    Workload(name="one", kind=Kind.task, command=(sys.executable, "-c", {SLEEP!r})))
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", starter]).returncode == -signal.SIGKILL
    running(local, "one")
    assert [status.name for status in local.list()] == ["one"]
    assert local.poll("one").phase is Phase.running


def test_a_killed_shim_takes_everything_with_it_and_the_workload_is_gone(
    local: LocalLauncher,
) -> None:
    code = f"""
import subprocess, sys
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
{SLEEP}
"""
    local.start(python("one", code))
    shim = running(local, "one")
    mark = json.loads((local._root / "one" / "spec.json").read_text())["mark"].encode()
    os.kill(shim, signal.SIGKILL)
    until(lambda: local.poll("one").phase is Phase.gone)
    local.stop("one")
    until(lambda: not any(mark in environment for environment in environments()))
    local.remove("one")
    assert local.list() == []


def environments() -> Iterator[bytes]:
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            yield (entry / "environ").read_bytes()


def test_one_whose_starter_died_before_the_start_is_gone_and_its_name_stays_taken(
    local: LocalLauncher,
) -> None:
    # What is left by kill -9 between the folder's appearance and the shim's start.
    folder = local._root / "one"
    folder.mkdir()
    (folder / "lock").touch()
    (folder / "spec.json").write_text(json.dumps({"labels": {"id": "1"}, "mark": "x"}))
    status = local.poll("one")
    assert (status.phase, status.labels) == (Phase.gone, {"id": "1"})
    with pytest.raises(NameTaken):
        local.start(python("one", "pass"))


def test_half_made_folders_are_swept_and_never_listed(local: LocalLauncher) -> None:
    (local._root / ".new-dead").mkdir()
    assert local.list() == []
    local.start(python("one", "pass"))
    assert not (local._root / ".new-dead").exists()


def test_the_control_planes_secrets_do_not_leak_in(
    local: LocalLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "hub-secret")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    workload = python(
        "one",
        "import os, json; print(json.dumps(dict(os.environ)))",
        environment={"PERIJOVE_RUN_ID": "r1"},
        secrets={"PERIJOVE_TOKEN": "run-secret"},
    )
    local.start(workload)
    ended(local, "one")
    seen = json.loads(read(local, "one"))
    assert seen["PERIJOVE_TOKEN"] == "run-secret"
    assert seen["PERIJOVE_RUN_ID"] == "r1"
    assert "JUPYTERHUB_API_TOKEN" not in seen
    assert "PYTHONPATH" not in seen
    on_disk = b"".join(
        p.read_bytes() for p in (local._root / "one").rglob("*") if p.is_file() and p.name != "log"
    )
    assert b"run-secret" not in on_disk


def test_one_that_fills_the_disk_of_its_own_record_still_says_how_it_ended(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "workloads"
    with small_disk(folder, 512):
        local = LocalLauncher(folder)
        fill = "import os\nwith open('big', 'wb', buffering=0) as file:\n"
        fill += "    for size in (65536, 1):\n        try:\n"
        fill += "            while file.write(bytes(size)): pass\n        except OSError: pass\n"
        local.start(python("one", fill + "os._exit(3)"))
        status = ended(local, "one")
        assert (status.phase, status.exit_code) == (Phase.ended, 3)
        local.remove("one")

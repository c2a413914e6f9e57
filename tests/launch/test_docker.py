"""What containers add to the contract, and what happens when something dies."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from perijove_hub.engine import Names, client, firewall, network
from perijove_hub.engine.exceptions import EngineDown
from perijove_hub.launch import Launcher, LaunchError, NameTaken, Phase, docker
from perijove_hub.launch.docker import DockerLauncher
from tests.fixtures.processes import pythonpath
from tests.launch.conftest import ended, python, read, until

pytestmark = pytest.mark.docker

SLEEP = "import time; print('up', flush=True); time.sleep(600)"


def up(launcher: Launcher, name: str) -> None:
    """Wait until the workload's own code runs."""
    until(lambda: "up" in read(launcher, name))


def inspect(launcher: DockerLauncher, name: str) -> dict[str, Any]:
    found = launcher._inspect(name)
    assert found is not None
    return found


def test_secrets_reach_the_process_and_neither_disk_nor_engine(contained: DockerLauncher) -> None:
    code = f"import os; print(os.environ['TOKEN'], os.environ['HOME'], os.getuid()); {SLEEP}"
    contained.start(python("one", code, secrets={"TOKEN": "run-secret"}))
    up(contained, "one")
    assert read(contained, "one").startswith("run-secret /workload 1000\n")
    found = inspect(contained, "one")
    assert "run-secret" not in json.dumps(found)
    folder = contained._root / "one"
    kept = b"".join(
        path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "log"
    )
    assert b"run-secret" not in kept
    root = Path(contained._api.info()["DockerRootDir"]) / "containers" / found["Id"]
    assert b"run-secret" not in b"".join(p.read_bytes() for p in root.rglob("*") if p.is_file())


def test_it_is_hardened_and_found_by_its_labels(contained: DockerLauncher) -> None:
    contained.start(python("one", SLEEP, memory_mb=256, cpu=0.5))
    found = inspect(contained, "one")
    host, labels = found["HostConfig"], found["Config"]["Labels"]
    assert (host["CapDrop"], host["ReadonlyRootfs"], host["Memory"]) == (["ALL"], True, 2**28)
    assert (host["CpuQuota"], host["SecurityOpt"]) == (50_000, ["no-new-privileges"])
    assert labels["perijove"] == contained._names.key
    assert (labels["perijove.kind"], labels["perijove.id"]) == ("t", "one")
    assert contained.poll("one").address == contained.list()[0].address is not None


def test_it_outlives_the_worker_that_started_it(contained: DockerLauncher) -> None:
    starter = f"""
import os
from pathlib import Path
from perijove_hub.context import Context
from perijove_hub.launch import Kind, Workload
from perijove_hub.launch.docker import DockerLauncher
launcher = DockerLauncher(Context.open(Path({str(contained._context.data.root)!r}), None))
launcher.start(Workload(name="one", kind=Kind.task, command=("python", "-c", {SLEEP!r})))
os.kill(os.getpid(), 9)
"""
    environment = {**os.environ, "PYTHONPATH": pythonpath()}
    died = subprocess.run([sys.executable, "-c", starter], env=environment)
    assert died.returncode == -signal.SIGKILL
    up(contained, "one")
    assert [(s.name, s.phase) for s in contained.list()] == [("one", Phase.running)]
    with pytest.raises(NameTaken):
        contained.start(python("one", "pass"))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("where", ["create_container", "attach_socket", "start"])
def test_one_whose_starter_died_half_way_was_never_started(
    contained: DockerLauncher, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    class Killed(BaseException):
        pass

    called = getattr(contained._api, where)

    def die(*args: Any, **more: Any) -> None:
        # As kill -9 right after the engine has answered: nothing is cleaned up.
        called(*args, **more)
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(contained._api, where, die)
        contained.start(python("one", "pass", labels={"id": "1"}))
    status = ended(contained, "one")
    assert (status.phase, status.started_at, status.labels) == (Phase.gone, None, {"id": "1"})
    contained.remove("one")
    assert contained.list() == []
    contained.start(python("one", "pass"))
    assert ended(contained, "one").exit_code == 0
    gc.collect()


def test_a_log_is_cut_off_at_its_limit_and_the_command_goes_on(
    contained: DockerLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker, "LOG_BYTES", 100_000)
    contained.start(python("one", "for n in range(30000): print('x' * 99)\nraise SystemExit(4)"))
    assert ended(contained, "one").exit_code == 4
    content, offset = contained.logs("one", 0, 10**9)
    assert content.startswith(b"x" * 99 + b"\n")
    assert content.endswith(b"[the log ends here: it has reached 100000 bytes]\n")
    assert len(content) == offset < 100_100
    assert contained.logs("one", 99_000, 10) == (content[99_000:99_010], 99_010)


def test_one_that_fills_the_disk_is_ended(
    contained: DockerLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker, "DISK_EVERY", 0)
    code = "import os; open('big', 'wb').write(os.urandom(12 * 2**20)); " + SLEEP
    contained.start(python("one", code, disk_mb=10))
    status = ended(contained, "one")
    assert (status.cause, status.exit_code) == ("disk", -signal.SIGKILL)


def test_one_that_stops_its_own_watch_is_killed_from_outside(
    contained: DockerLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker, "SLACK", 0.2)
    code = "import os, signal; os.kill(os.getppid(), signal.SIGSTOP); " + SLEEP
    # Its output cannot be seen: the watch that would copy it is stopped.
    contained.start(python("one", code, timeout_s=0.5, grace_s=0.1))
    status = ended(contained, "one")
    assert (status.phase, status.cause) == (Phase.ended, "timeout")
    contained.remove("one")
    contained.start(python("one", code, grace_s=0.1))

    def is_over() -> bool:
        # Asked at every look, as a worker does with a run that was cancelled.
        contained.stop("one")
        return contained.poll("one").phase is Phase.ended

    until(is_over)
    assert contained.poll("one").cause == "stopped"


def test_no_limit_of_time_goes_by_a_clock_that_may_be_set(
    contained: DockerLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    contained.start(python("one", SLEEP, timeout_s=600, grace_s=0.1))
    up(contained, "one")
    real = time.time
    for hours in (1, 24, -1, -24):
        monkeypatch.setattr(time, "time", lambda hours=hours: real() + 3600 * hours)
        assert contained.poll("one").phase is Phase.running
    # The engine needs a moment to end it, if it was told to.
    monkeypatch.undo()
    contained.stop("one")
    assert ended(contained, "one").cause == "stopped"


def test_what_the_container_says_of_itself_is_not_believed_against_the_engine(
    contained: DockerLauncher,
) -> None:
    code = """
import os, signal
said = '{"exit_code": 0, "cause": "stopped", "peak": 1e999}'
open('/run/perijove/end', 'w').write(said)
os.kill(os.getppid(), signal.SIGKILL)
"""
    contained.start(python("one", code))
    status = ended(contained, "one")
    assert status.exit_code != 0 and status.cause is None


def test_the_files_of_a_directory_are_given_over_and_links_are_left_alone(
    contained: DockerLauncher, tmp_path: Path
) -> None:
    given, outside = tmp_path / "given", tmp_path / "outside"
    given.mkdir()
    outside.write_text("ours")
    outside.chmod(0o600)
    (given / "input").write_text("input")
    (given / "link").symlink_to(outside)
    before = outside.stat().st_uid
    contained.start(python("one", "open('input', 'a').write('!')", directory=given))
    assert ended(contained, "one").exit_code == 0
    assert (given / "input").read_text() == "input!"
    assert outside.stat().st_uid == before
    assert stat.S_IMODE(outside.stat().st_mode) == 0o600


def test_a_log_that_became_a_link_is_not_followed(contained: DockerLauncher) -> None:
    code = """
import os
for step in (os.unlink, lambda path: os.symlink('/etc/passwd', path), os.rmdir):
    try:
        step('/run/perijove/log')
    except OSError as error:
        print(type(error).__name__)
"""
    contained.start(python("one", code))
    ended(contained, "one")
    said = read(contained, "one").split()
    assert len(said) == 3 and (contained._root / "one" / "log").is_file()


def test_an_image_that_is_not_there_is_named(contained: DockerLauncher) -> None:
    with pytest.raises(LaunchError, match="sha256:0000"):
        contained.start(python("one", "pass", image="sha256:" + "0" * 64))
    assert contained.poll("one").phase is Phase.gone
    contained.remove("one")


def test_a_container_somebody_removed_is_gone_and_one_nobody_knows_is_removed(
    contained: DockerLauncher,
) -> None:
    contained.start(python("one", SLEEP, labels={"id": "1"}))
    contained._discard(contained._container("one"))
    assert (contained.poll("one").phase, contained.list()[0].labels) == (Phase.gone, {"id": "1"})
    contained.start(python("two", SLEEP))
    (contained._root / "two").rename(contained._context.data.root / "lost")
    assert [status.name for status in contained.list()] == ["one"]
    assert contained._inspect("two") is None


def test_nothing_starts_while_the_network_is_open(
    contained: DockerLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    firewall.lift(contained._names)
    with monkeypatch.context() as patched, pytest.raises(EngineDown, match="not closed"):
        patched.setattr(firewall, "_nft", _refuse)
        contained.start(python("one", "pass"))
    assert contained.list() == []
    # It closes the network itself where it can.
    contained.start(python("one", "pass"))
    assert firewall.in_force(contained._names)
    ended(contained, "one")


def _refuse(*_: object) -> str:
    from perijove_hub.up.exceptions import StartError

    raise StartError("nft is not for you")


@pytest.fixture
def mortal(image: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mortal]:
    """An engine of our own without live-restore, that may be killed."""
    with tempfile.TemporaryDirectory(prefix="pj-") as folder:
        found = Mortal(Path(folder))
        try:
            found.fill()
            monkeypatch.setenv("DOCKER_HOST", found.host)
            yield found
        finally:
            found.bury()


class Mortal:
    """``dockerd`` beside the tests' own; it leaves the host's iptables alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = f"unix://{folder}/s"
        self.process: subprocess.Popen[bytes] | None = None

    def fill(self) -> None:
        self.start()
        layers = self.folder / "image.tar"
        _docker("save", "--output", str(layers), "perijove/debian:bookworm")
        _docker("load", "--input", str(layers), host=self.host)
        layers.unlink()
        recipe = "FROM perijove/debian:bookworm\nRUN ln -s python3 /usr/bin/python\n"
        command = ("build", "--network", "none", "--tag", "tiny", "-")
        _docker(*command, host=self.host, given=recipe, DOCKER_BUILDKIT="0")

    def start(self) -> None:
        if self.process is not None:
            return
        command = ["dockerd", "--host", self.host, "--data-root", str(self.folder / "data")]
        command += ["--exec-root", str(self.folder / "x"), "--pidfile", str(self.folder / "pid")]
        command += ["--bridge=none", "--iptables=false"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
            )
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("DOCKER_HOST", self.host)
            until(client.answers, 60)

    def stop(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(60)
        self.process = None
        # Where nobody collects dead processes the numbers in these files still look alive.
        for pid_file in (self.folder / "pid", self.folder / "x" / "containerd" / "containerd.pid"):
            pid_file.unlink(missing_ok=True)

    def bury(self) -> None:
        """End it and what it left behind when it was killed."""
        if self.process is not None:
            self.stop(signal.SIGKILL)
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if f"{self.folder}/x/" in (entry / "cmdline").read_text(errors="replace"):
                    os.kill(int(entry.name), signal.SIGKILL)
        places = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for place in sorted(places, reverse=True):
            if place.startswith(f"{self.folder}/"):
                subprocess.run(["umount", "--lazy", place], check=True)


def _docker(*arguments: str, host: str | None = None, given: str = "", **more: str) -> None:
    environment = {**os.environ, **({"DOCKER_HOST": host} if host else {}), **more}
    done = subprocess.run(
        ["docker", *arguments], env=environment, input=given, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


# Docker's client leaves a socket open for each try that fails.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_engine_that_dies_is_waited_for_and_what_it_took_along_is_told(
    mortal: Mortal, tmp_path: Path
) -> None:
    from tests.launch.conftest import contained_context

    context = contained_context(tmp_path / "data")
    names = Names.of(context.data.root)
    launcher = DockerLauncher(context)
    try:
        launcher.start(python("one", SLEEP, image="tiny", labels={"id": "1"}))
        up(launcher, "one")
        mortal.stop(signal.SIGKILL)
        with pytest.raises(EngineDown, match="Start it"):
            launcher.list()
        with pytest.raises(EngineDown):
            launcher.start(python("two", SLEEP, image="tiny"))
        # What only needs files goes on.
        assert read(launcher, "one") == "up\n"
        assert launcher.directory("one").is_dir()
        mortal.start()
        until(lambda: launcher.poll("one").phase is not Phase.running)
        found = launcher.poll("one")
        # It is told to end by the engine that comes up, or found dead.
        assert found.phase is Phase.gone or (found.phase, found.cause) == (Phase.ended, "engine")
        assert found.labels == {"id": "1"} and found.started_at
        # Half a start of before: never started, and forgotten on demand.
        assert launcher.poll("two").started_at is None
        launcher.remove("two")
    finally:
        for status in launcher.list():
            launcher.remove(status.name)
        launcher.close()
        network.remove(names)
        firewall.lift(names)
        gc.collect()

"""Images built on a real engine: what comes out, what stops a build, and what is never in it."""

from __future__ import annotations

import base64
import contextlib
import json
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import ImageNotFound

from perijove.types.base import Principal
from perijove.types.images import (
    Build,
    BuildState,
    ImageBuild,
    ImageSpec,
    ImageState,
    ImageVersion,
)
from perijove_hub.context import Context
from perijove_hub.engine import Names, firewall, network
from perijove_hub.images import builder, service, steps
from perijove_hub.images.builds import Builds
from perijove_hub.images.duty import BuildDuty
from perijove_hub.images.images import Images
from perijove_hub.images.workshop import Workshop
from perijove_hub.paths import DataDir
from perijove_hub.store.migrate import upgrade
from perijove_hub.store.models import AuditRow, ImageRow, ImageVersionRow, utcnow
from tests.docker.index import PASSWORD, Index
from tests.fixtures.processes import process, wait_until
from tests.jobs.conftest import ADA, ADMIN, a_topology

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

#: The machine's own, where what stands between it and the index has one.
CA = Path("/etc/ssl/certs/ca-certificates.crt")


@dataclass
class Yard:
    """A control plane's builds on a fresh data directory, driven by the worker's duty."""

    context: Context
    engine: Any
    index: Index
    names: Names = field(init=False)
    duty: BuildDuty = field(init=False)

    def __post_init__(self) -> None:
        self.names = Names.of(self.context.data.root)
        self.restart()

    def restart(self) -> None:
        """Forget all a worker has in memory."""
        self.duty = BuildDuty(self.context)

    @property
    def builds(self) -> Builds:
        return Builds(self.context)

    @property
    def images(self) -> Images:
        return Images(self.context)

    def ask(
        self, name: str = "mine", by: Principal = ADA, approve: bool = False, **spec: Any
    ) -> Build:
        body = ImageBuild(spec=ImageSpec(name=name, **spec), approve=approve)
        return self.builds.create(by, body, key=None)

    def get(self, build: Build) -> Build:
        return self.builds.get(ADMIN, build.id)

    def log(self, build: Build) -> str:
        text, offset = "", 0
        while True:
            chunk = self.builds.log(ADMIN, build.id, offset)
            text += chunk.text
            if chunk.ended or chunk.next_offset == offset:
                return text
            offset = chunk.next_offset

    def until(self, condition: Callable[[], object], seconds: float = 300) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "waited in vain"
            self.duty.tick()
            time.sleep(0.1)

    def ended(self, build: Build) -> Build:
        self.until(lambda: self.get(build).state.terminal)
        return self.get(build)

    def containers(self) -> list[str]:
        found = self.engine.api.containers(
            all=True, filters={"label": f"perijove={self.names.key}"}
        )
        return [one["Names"][0] for one in found]

    def run(self, digest: str, *command: str) -> str:
        """Run a command in an image and return what it prints."""
        return str(
            self.engine.containers.run(
                digest, command, entrypoint="", remove=True, network_mode="none"
            ).decode()
        )

    def clear(self) -> None:
        """Remove what this data directory has on the engine."""
        for name in self.containers():
            self.engine.api.remove_container(name, force=True)
        for image in self.engine.images.list():
            for tag in image.tags:
                if tag.startswith(self.names.prefix):
                    self.engine.images.remove(tag)


@pytest.fixture(scope="module")
def yard(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    """Builds with a password for the index, and cpu and a bare image to start from."""
    folder = tmp_path_factory.mktemp("builds")
    data = DataDir.open(folder / "data")
    replace(a_topology(), spawner="docker").save(data.run / "topology.json")
    with contextlib.ExitStack() as stack:
        engine = stack.enter_context(contextlib.closing(docker.from_env()))
        apart = Names.of(data.root / "builds")
        stack.callback(firewall.lift, apart)
        stack.callback(network.remove, apart)
        index = stack.enter_context(Index.serving(network.ensure(apart)))
        config = folder / "perijove.toml"
        config.write_text(
            f"[network]\nallow = ['{index.host}:{index.port}']\n"
            f"[images]\nmemory_mb = 512\npip_config = '{index.pip_config(folder)}'\n"
            + (f"ca = '{CA}'\n" if CA.exists() else "")
        )
        context = Context.open(data.root, config)
        stack.callback(context.database.close)
        upgrade(context.database)
        yard = Yard(context, engine, index)
        stack.callback(yard.clear)
        with context.database.session() as session:
            for name, tag in (("cpu", image), ("debian", "perijove/debian:bookworm")):
                service.register_builtin(
                    session,
                    name,
                    digest=engine.images.get(tag).id,
                    description="",
                    interfaces=["lab"],
                )
        yield yard


def sweep(yard: Yard) -> None:
    """Do what a worker does every hour."""
    yard.restart()
    yard.duty.tick()


@pytest.fixture(scope="module")
def first(yard: Yard) -> Build:
    """A build with a package of apt and two of pip."""
    spec: dict[str, Any] = {"apt": ["tree"], "pip": ["iniconfig>=2", "Pj.Fine"]}
    return yard.ended(yard.ask(**spec))


def test_a_build_installs_what_was_asked_for(yard: Yard, first: Build) -> None:
    assert first.state is BuildState.succeeded, yard.log(first)
    assert (first.step, first.steps, first.step_name) == (4, 4, "test")
    version = yard.images.version(ADA, "mine", 1)
    assert version.state is ImageState.tested
    assert version.digest
    assert version.smoke_test is None
    assert version.size_bytes == yard.engine.images.get(version.digest).attrs["Size"]
    script = "id -u; tree --version; python -c 'import iniconfig, pj_fine'"
    assert yard.run(version.digest, "sh", "-c", script).startswith("1000\ntree v")


def test_it_starts_as_its_base_does(yard: Yard, first: Build) -> None:
    version = yard.images.version(ADA, "mine", 1)
    made, base = (
        yard.engine.images.get(one).attrs["Config"] for one in (version.digest, version.base_digest)
    )
    for key in ("User", "Env", "Entrypoint", "Cmd", "WorkingDir", "ExposedPorts"):
        assert made[key] == base[key], key
    more = dict(made["Labels"].items() - (base["Labels"] or {}).items())
    assert set(more) == {"perijove", "perijove.kind", "perijove.step"}


def test_its_packages_are_listed_and_searched(yard: Yard, first: Build) -> None:
    def found(q: str) -> list[tuple[str, str]]:
        page = yard.images.packages(ADA, "mine", 1, q=q, cursor=None, limit=500)
        return [(one.manager, one.name) for one in page.items]

    assert found("tree") == [("apt", "tree")]
    assert found("INICONF") == [("pip", "iniconfig")]
    assert found("pj-") == [("pip", "pj-fine")]
    assert {"apt", "pip"} == {manager for manager, _ in found("")}


def test_the_log_is_read_by_offsets_and_names_the_steps(yard: Yard, first: Build) -> None:
    log = yard.log(first)
    for number, name in enumerate(("apt: tree", "pip: ", "packages", "test"), 1):
        assert f"== step {number} of 4, {name}" in log
    assert "a kernel can load the magics" in log
    middle = yard.builds.log(ADA, first.id, 100)
    assert middle.text == log[100 : 100 + len(middle.text)]


def test_the_mirrors_password_is_used_and_in_no_layer_and_no_log(yard: Yard, first: Build) -> None:
    assert yard.index.authorized
    version = yard.images.version(ADA, "mine", 1)
    made = yard.engine.images.get(version.digest)
    found = layers(made, below=yard.engine.images.get(version.base_digest))
    # Or the search would prove nothing.
    assert hits(found, b"pj_fine")
    header = base64.b64encode(f"builder:{PASSWORD}".encode()).rstrip(b"=")
    assert hits(found, PASSWORD.encode()) == hits(found, header) == []
    assert PASSWORD not in json.dumps([made.attrs, made.history()])
    assert PASSWORD not in yard.log(first)
    left = {path.relative_to(folder) for folder in found for path in folder.rglob("*")}
    assert Path(steps.SECRETS.lstrip("/")) not in left
    assert not {path.name for path in left} & {steps.CA, steps.PIP_CONFIG}


def layers(image: Any, *, below: Any) -> list[Path]:
    """Return the folders of an image's layers above ``below``, where the engine has them."""
    assert image.attrs["GraphDriver"]["Name"] == "overlay2"
    own = len(image.attrs["RootFS"]["Layers"]) - len(below.attrs["RootFS"]["Layers"])
    data = image.attrs["GraphDriver"]["Data"]
    return [Path(one) for one in [data["UpperDir"], *data["LowerDir"].split(":")][:own]]


def hits(folders: list[Path], needle: bytes) -> list[Path]:
    """Return the files below ``folders`` with ``needle`` in name or content."""
    return [
        path
        for folder in folders
        for path in folder.rglob("*")
        if needle in path.name.encode()
        or (path.is_file() and not path.is_symlink() and needle in path.read_bytes())
    ]


def test_an_unchanged_step_is_not_run_again(yard: Yard, first: Build) -> None:
    before = yard.index.requests
    again = yard.ended(yard.ask(apt=["tree"], pip=["iniconfig>=2", "Pj.Fine"]))
    assert again.state is BuildState.succeeded, yard.log(again)
    assert again.version == 2
    log = yard.log(again)
    assert log.count("(kept from before)") == 2
    assert yard.index.requests == before
    digests = [yard.images.version(ADA, "mine", n).digest for n in (1, 2)]
    assert digests[0] == digests[1]
    # And still tested, in a container of its own.
    assert "a kernel can compute" in log


def test_a_build_is_closed_in(yard: Yard, first: Build) -> None:
    """Root inside with six capabilities, without a token, and the Hub and the host out of reach."""
    gateway = yard.index.host
    with contextlib.closing(socket.create_server((gateway, 0))) as listening:
        port = listening.getsockname()[1]
        script = f"""
import json, os, socket
def reach(host, port):
    try:
        socket.create_connection((host, port), timeout=2).close()
        return True
    except OSError:
        return False
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
print(json.dumps({{
    "uid": os.getuid(),
    "capabilities": int(status["CapBnd"], 16),
    "new_privileges": status["NoNewPrivs"].strip(),
    "tokens": [name for name in os.environ if "TOKEN" in name or "URL" in name],
    "docker": os.path.exists("/var/run/docker.sock"),
    "host": reach({gateway!r}, {port}),
    "hub": reach({gateway!r}, 8081),
    "index": reach({gateway!r}, {yard.index.port}),
    "metadata": reach("169.254.169.254", 80),
    "bridge": reach("172.17.0.1", {port}),
}}))
"""
        shop, name = Workshop(yard.names), yard.names.container("b", "probe", "1")
        with contextlib.closing(shop):
            shop.start_step(
                name,
                str(yard.images.version(ADA, "mine", 1).digest),
                ["python", "-c", script],
                network=builder.apart(yard.context).network,
                memory_mb=256,
                secrets={},
                folder=steps.SECRETS,
            )
            wait_until(lambda: not shop.look(name).running, what="its end")  # type: ignore[union-attr]
            seen = json.loads(b"".join(text for _, text in shop.output(name)))
            shop.remove(name)
    assert seen == {
        "uid": 0,
        # CHOWN, DAC_OVERRIDE, FOWNER, FSETID, SETGID, SETUID
        "capabilities": 0b11011011,
        "new_privileges": "1",
        "tokens": [],
        "docker": False,
        "host": False,
        "hub": False,
        "index": True,
        "metadata": False,
        "bridge": False,
    }


def failed(yard: Yard, build: Build) -> str:
    """Wait for a build to fail, and return why; nothing of it is left."""
    ended = yard.ended(build)
    assert ended.state is BuildState.failed, yard.log(build)
    version = yard.images.version(ADMIN, ended.image, ended.version)
    assert (version.state, version.digest) == (ImageState.draft, None)
    wait_until(lambda: not yard.containers(), what="the containers' removal")
    assert ended.reason
    assert ended.reason in yard.log(build)
    return ended.reason


def test_a_step_that_fails_is_named_with_its_last_lines(yard: Yard) -> None:
    reason = failed(yard, yard.ask("absent", pip=["pj-absent"]))
    assert reason.startswith("Step 1 of 3, pip, failed with status 1:")
    assert "No matching distribution found for pj-absent" in reason


def test_an_image_without_a_kernel_stays_a_draft(yard: Yard) -> None:
    build = yard.ask("bare", base="debian", apt=["tree"])
    assert "Image without a kernel" in failed(yard, build)
    assert "without a kernel" in str(yard.images.version(ADA, "bare", 1).smoke_test)


def test_a_base_that_is_gone_is_said(yard: Yard) -> None:
    with yard.context.database.session() as session:
        service.register_builtin(
            session, "old", digest=f"sha256:{'0' * 64}", description="", interfaces=[]
        )
    reason = failed(yard, yard.ask("orphan", base="old", pip=["pj-fine"]))
    assert "'old@1' is no longer on the engine" in reason


def test_conda_is_refused_on_a_base_without_it(yard: Yard) -> None:
    reason = failed(yard, yard.ask("conda", base="debian", conda=["numpy"]))
    assert "has no conda" in reason


def running(yard: Yard, build: Build, text: str = "pj-started") -> None:
    yard.until(lambda: text in yard.log(build) or yard.get(build).state.terminal)
    assert yard.get(build).state is BuildState.running, yard.log(build)


def test_a_build_is_cancelled_in_the_middle_of_a_step(yard: Yard) -> None:
    build = yard.ask("endless", pip=["pj-endless"])
    running(yard, build)
    seen = yard.get(build)
    assert (seen.step, seen.steps, seen.step_name) == (1, 3, "pip")
    yard.builds.cancel(ADA, build.id)
    ended = yard.ended(build)
    assert (ended.state, ended.reason) == (BuildState.cancelled, "Cancelled by ada.")
    wait_until(lambda: not yard.containers(), what="the container's removal")
    assert "pj-started" in yard.log(build)


def test_a_build_that_never_ends_is_ended(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yard.context.settings.images, "timeout_s", 4)
    reason = failed(yard, yard.ask("endless", pip=["pj-endless"]))
    assert "more than 4 s (images.timeout_s)" in reason
    assert "step 1, pip" in reason


def test_a_build_that_fills_the_disk_is_ended(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yard.context.settings.images, "disk_mb", 100)
    reason = failed(yard, yard.ask("filler", pip=["pj-filler"]))
    assert "more than 100 MiB to disk (images.disk_mb)" in reason


def test_a_build_that_takes_too_much_memory_is_ended(yard: Yard) -> None:
    reason = failed(yard, yard.ask("hog", pip=["pj-hog"]))
    assert "more than 512 MiB of memory (images.memory_mb)" in reason


def test_a_build_that_prints_without_end_is_ended(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builder, "MAX_LOG", 2**20)
    assert "It printed more than 1 MiB" in failed(yard, yard.ask("chatty", pip=["pj-chatty"]))


def test_a_killed_container_is_started_again(yard: Yard) -> None:
    build = yard.ask("struck", pip=["pj-slow"])
    running(yard, build)
    yard.engine.containers.get(builder.container_name(yard.context, build.id, 1)).kill()
    past_pip(yard, build)


def past_pip(yard: Yard, build: Build) -> None:
    """Wait until the packages are installed; that the rest works is another test's matter."""
    yard.until(lambda: yard.get(build).step_name != "pip")
    assert yard.get(build).state is BuildState.running, yard.log(build)
    yard.builds.cancel(ADA, build.id)
    assert yard.ended(build).state is BuildState.cancelled


WORKER = """
import sys, threading
from pathlib import Path
from perijove_hub.context import Context
from perijove_hub.images.duty import BuildDuty
from perijove_hub.worker import work
work([BuildDuty(Context.open(Path(sys.argv[1]), Path(sys.argv[2])))], threading.Event())
"""


def test_a_build_outlives_a_killed_worker(yard: Yard, tmp_path: Path) -> None:
    context = yard.context
    build = yard.ask("survivor", pip=["pj-slow", "pj-fine"])
    command = [sys.executable, "-c", WORKER, str(context.data.root), str(context.config)]
    with process(command, log=tmp_path / "log") as worker:
        wait_until(lambda: "pj-started" in yard.log(build), seconds=60)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    name = builder.container_name(context, build.id, 1)
    before = yard.engine.containers.get(name).id
    yard.restart()
    yard.until(lambda: yard.log(build).count("pj-started") and yard.get(build).step == 1)
    assert yard.engine.containers.get(name).id == before
    past_pip(yard, build)
    # Not run again; its output was read again from its beginning, and each line is there once.
    assert "step 1 of 3, pip: pj-slow pj-fine\n" in yard.log(build)
    assert yard.log(build).count("pj-started") == 1


def test_what_nobody_builds_any_more_is_removed(yard: Yard) -> None:
    name = yard.names.container("b", "0" * 20, "1")
    labels = {**yard.names.labels, "perijove.kind": "build"}
    yard.engine.containers.create("perijove/debian:bookworm", "true", name=name, labels=labels)
    left = yard.context.data.root / "builds" / ("0" * 20)
    left.mkdir(parents=True)
    yard.restart()
    yard.duty.tick()
    assert yard.containers() == []
    assert not left.exists()


def test_old_steps_are_forgotten_and_finished_images_stay_whole(
    yard: Yard, first: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = str(yard.images.version(ADA, "mine", 1).digest)
    with contextlib.closing(Workshop(yard.names)) as shop:
        assert shop.forget_steps(builder.utcnow()) > 0
        assert shop.forget_steps(builder.utcnow()) == 0
    assert yard.run(digest, "tree", "--version").startswith("tree v")


def retired(yard: Yard, name: str, package: str) -> ImageVersion:
    """Build an image, retire it, and let two months pass."""
    build = yard.ended(yard.ask(name, ADMIN, approve=True, base="cpu", pip=[package]))
    assert build.state is BuildState.succeeded, yard.log(build)
    yard.images.retire(ADMIN, name, 1)
    with yard.context.database.session() as session:
        image = session.query(ImageRow).filter_by(name=name).one()
        session.get_one(ImageVersionRow, (image.id, 1)).retired_at = utcnow() - timedelta(days=60)
    return yard.images.version(ADMIN, name, 1)


def test_a_retired_version_leaves_the_engine_once_nothing_runs_from_it(
    yard: Yard, caplog: pytest.LogCaptureFixture
) -> None:
    version = retired(yard, "leaving", "pj-fine")
    digest = str(version.digest)
    base = yard.engine.images.get(version.base_digest).attrs["Size"]
    # Made and never started: who is about to run counts as well.
    started = yard.engine.containers.create(digest, "true")
    sweep(yard)
    assert yard.engine.images.get(digest).tags
    assert yard.images.version(ADMIN, "leaving", 1).removed_at is None
    started.remove()
    with caplog.at_level("INFO"):
        sweep(yard)
    with pytest.raises(ImageNotFound):
        yard.engine.images.get(digest)
    after = yard.images.version(ADMIN, "leaving", 1)
    assert after.removed_at
    assert after.spec == version.spec
    assert "removed leaving@1" in caplog.text
    with yard.context.database.reading() as session:
        [told] = session.query(AuditRow).filter_by(verb="image.remove").all()
    assert told.object == "image/leaving"
    # Whatever other steps still stand on is not freed.
    assert 0 < told.detail["bytes_freed"] <= (version.size_bytes or 0) - base
    assert yard.engine.images.get(version.base_digest)


@pytest.mark.parametrize("delay", [0, 0.002, 0.01, 0.05])
def test_a_start_at_the_same_moment_has_the_image_or_is_told(yard: Yard, delay: float) -> None:
    seed = yard.engine.containers.create("perijove/debian:bookworm", ["sh", "-c", "exit 7"])
    digest = seed.commit(repository=f"{yard.names.prefix}/racing", tag="1").id
    seed.remove()
    with contextlib.closing(Workshop(yard.names)) as shop, ThreadPoolExecutor() as pool:
        removing = pool.submit(shop.discard, digest)
        time.sleep(delay)
        try:
            made = yard.engine.containers.create(digest, network_mode="none")
        except ImageNotFound:
            assert removing.result() is not None
            return
        removed = removing.result() is not None
        # The engine may still let go of the image's record; the container keeps what it needs.
        there = any(image.id == digest for image in yard.engine.images.list(all=True))
        assert removed != there
        made.start()
        assert made.wait()["StatusCode"] == 7
        made.remove()
        assert shop.discard(digest) is not None


# The last one: the index listens on the address of the network that is removed.
def test_a_build_outlives_a_stop_of_everything(yard: Yard, tmp_path: Path) -> None:
    build = yard.ask("stopped", base="debian", apt=["ncal"])
    command = [sys.executable, "-c", WORKER, str(yard.context.data.root), str(yard.context.config)]
    with process(command, log=tmp_path / "log") as worker:
        wait_until(lambda: "== step 1" in yard.log(build), seconds=60)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    yard.restart()
    yard.duty.drain()
    assert yard.containers() == []
    apart = builder.apart(yard.context)
    assert not firewall.in_force(apart)
    assert not yard.engine.networks.list(names=[apart.network])
    yard.until(lambda: yard.get(build).step_name == "packages")
    assert firewall.in_force(apart)
    assert yard.ended(build).state is BuildState.failed
    assert "Setting up ncal" in yard.log(build)

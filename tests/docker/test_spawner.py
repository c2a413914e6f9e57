"""The Docker spawner by itself, with an engine of its own that is killed under it.

JupyterHub's user and database are real; only the Hub's process is not there.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, ClassVar

import docker
import pytest
from jupyterhub import objects, orm
from jupyterhub.user import User

from perijove_hub.context import Context, Topology
from perijove_hub.engine import Names, firewall, network
from perijove_hub.hub.cannot import CannotStart
from perijove_hub.hub.docker import PerijoveDockerSpawner
from perijove_hub.hub.pages import form
from perijove_hub.images.service import register_builtin
from perijove_hub.settings import SizeSettings
from perijove_hub.store.migrate import upgrade
from perijove_hub.store.models import GpuLeaseRow, UsageRow, WorkspaceRow
from perijove_hub.workspaces.queue import Line
from tests.docker.conftest import answers
from tests.fixtures.processes import free_port, wait_until

pytestmark = [
    pytest.mark.docker,
    pytest.mark.timeout(300),
    # The Docker SDK leaves a socket unclosed when nobody listens where it connects to.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Engine:
    """A Docker engine that can be killed and started again on the same data."""

    def __init__(self, folder: Path, dockerd: str) -> None:
        self.folder = folder
        self.host = f"unix://{folder}/docker.sock"
        self._dockerd = dockerd
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str) -> None:
        """Start it and wait until it answers."""
        command = [
            self._dockerd,
            f"--host={self.host}",
            f"--data-root={self.folder / 'data'}",
            f"--exec-root={self.folder / 'exec'}",
            f"--pidfile={self.folder / 'dockerd.pid'}",
            "--bridge=none",
            # Those of the machine's other engine are left alone.
            "--iptables=false",
            *arguments,
        ]
        log = self.folder / "dockerd.log"
        with log.open("ab") as out:
            process = subprocess.Popen(
                command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )
        wait_until(
            lambda: process.poll() is not None or answers(self.host), seconds=60, what="dockerd"
        )
        assert process.poll() is None, log.read_text()
        self._process = process

    def kill(self) -> None:
        """Kill it as a power cut would, but leave containers to their shims."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(30)
        (self.folder / "dockerd.pid").unlink(missing_ok=True)
        # A power cut ends its containerd too, which else would stand in the next one's way.
        containerd = self.folder / "exec" / "containerd" / "containerd.pid"
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            os.kill(int(containerd.read_text()), signal.SIGKILL)
        containerd.unlink(missing_ok=True)

    def end(self) -> None:
        """Remove what is left on it, and end it."""
        if not answers(self.host):
            self.start()
        with contextlib.closing(docker.DockerClient(self.host)) as client:
            for container in client.containers.list(all=True):
                container.remove(force=True)
        assert self._process is not None
        self._process.terminate()
        self._process.wait(60)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """An engine of our own, with an image whose only program sleeps."""
    dockerd = shutil.which("dockerd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if dockerd is None or os.geteuid() != 0:
        why = "starting an engine takes dockerd and root"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    with tempfile.TemporaryDirectory(prefix="pj-", ignore_cleanup_errors=True) as folder:
        engine = Engine(Path(folder), dockerd)
        engine.start()
        try:
            yield engine
        finally:
            engine.end()


@pytest.fixture(scope="module")
def sleeper(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Import an image of ``sleep`` and its libraries; return its id."""
    archive = tmp_path_factory.mktemp("image") / "sleep.tar"
    program = shutil.which("sleep")
    assert program is not None
    linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    libraries = [word for word in linked.split() if word.startswith("/")]
    with tarfile.open(archive, "w") as tar:
        for path in (program, *libraries):
            tar.add(Path(path).resolve(), arcname=path)
        for name in ("tmp", "home/perijove"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
    done = subprocess.run(
        ["docker", "import", "--change", f'CMD ["{program}","1000"]', str(archive)],
        env={**os.environ, "DOCKER_HOST": engine.host},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


class Spawner(PerijoveDockerSpawner):
    """With its own engine's client and no other tests' line."""

    _cleanings: ClassVar[dict[str, Any]] = {}


@pytest.fixture
async def context(
    engine: Engine, sleeper: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Context]:
    """A data directory with a closed network, and the image offered."""
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    if not answers(engine.host):
        engine.start()
    context = Context.open(tmp_path / "data", None)
    upgrade(context.database)
    names = Names.of(context.data.root)
    host = network.ensure(names)
    ports = [free_port() for _ in range(3)]
    Topology(
        public_url="http://127.0.0.1:8000",
        hub_api_url=f"http://{host}:{free_port()}/hub/api",
        host=host,
        api_port=ports[0],
        mlflow_port=ports[1],
        gateway_port=ports[2],
        spawner="docker",
    ).save(context.data.run / "topology.json")
    firewall.enforce(names, context.topology, [])
    context.settings.workspaces.sizes["small"] = SizeSettings(memory_mb=512)
    with context.database.session() as session:
        register_builtin(
            session, "cpu", digest=sleeper, description="It sleeps", interfaces=["lab"]
        )
    Spawner.context = context
    Spawner.line = Line(4)
    yield context
    for task in list(Spawner._cleanings.values()):
        await asyncio.wait([task], timeout=30)
    if not answers(engine.host):
        engine.start()
    if Spawner._engine is not None:
        Spawner._engine.close()
        Spawner._engine = None
    with contextlib.closing(docker.from_env()) as client:
        label = f"perijove={names.key}"
        for container in client.containers.list(all=True, filters={"label": label}):
            container.remove(force=True)
    assert network.remove(names)
    firewall.lift(names)
    context.database.close()
    # The sockets that the SDK left, while the warning of them is expected.
    gc.collect()


@pytest.fixture
def people() -> Iterator[Any]:
    """JupyterHub's own database of users, in memory."""
    session = orm.new_session_factory("sqlite:///:memory:")()
    yield session
    session.close()


def spawner_of(people: Any, context: Context, name: str, server: str = "") -> Spawner:
    """Return the spawner of a user's server, as the Hub makes it for a start."""
    found = orm.User.find(people, name)
    if found is None:
        found = orm.User(name=name)
        people.add(found)
        people.commit()
    hub = objects.Hub(ip="127.0.0.1", port=1, base_url="/hub/")
    settings = {"spawner_class": Spawner, "hub": hub, "config": None}
    user = User(found, settings)
    made: Spawner = user.get_or_create_spawner(server, server)
    base = f"/user/{name}/{server}/" if server else f"/user/{name}/"
    address = orm.Server(base_url=base)
    people.add(address)
    people.commit()
    made.server = objects.Server(orm_server=address)
    made.hub_connect_url = context.topology.inside.hub_api_url.removesuffix("/hub/api")
    made.api_token = "token"
    return made


def containers(context: Context) -> list[dict[str, Any]]:
    """List the containers of this data directory."""
    with contextlib.closing(docker.from_env()) as client:
        label = f"perijove={Names.of(context.data.root).key}"
        found: list[dict[str, Any]] = client.api.containers(all=True, filters={"label": label})
        return found


def row(context: Context) -> WorkspaceRow:
    """Return what the database knows of ada's workspace."""
    with context.database.reading() as session:
        return session.get_one(WorkspaceRow, ("ada", ""))


def held(context: Context) -> tuple[int, int]:
    """Count the leases, and the usage that is open."""
    with context.database.reading() as session:
        leases = session.query(GpuLeaseRow).count()
        return leases, session.query(UsageRow).filter_by(ended_at=None).count()


async def until(condition: Any, *, seconds: float = 30) -> None:
    """Wait until ``condition`` is true, in the loop."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for is on the engine
            await asyncio.sleep(0.05)


async def running(people: Any, context: Context) -> Spawner:
    """Return ada's spawner with a container that runs and is recorded."""
    spawner = spawner_of(people, context, "ada")
    profile, choice = await spawner._decide()
    spawner.choice = choice
    await spawner.launch(choice, [])
    await spawner._record(profile, choice)
    assert await spawner.poll() is None
    return spawner


async def test_an_engine_that_is_down_is_said_and_nothing_is_left(
    engine: Engine, context: Context, people: Any
) -> None:
    spawner = spawner_of(people, context, "ada")
    assert (await spawner.offer()).can_start
    engine.kill()
    offer = await spawner.offer()
    assert not offer.can_start
    assert "no Docker engine answers" in offer.notices[0].text
    assert "no Docker engine answers" in await form(spawner)
    with pytest.raises(CannotStart) as refused:
        await spawner.start()
    assert refused.value.status_code == 503
    assert "no Docker engine answers" in refused.value.jupyterhub_message
    assert held(context) == (0, 0)


async def test_an_engine_that_goes_away_in_the_middle_is_said_and_cleared_away_later(
    engine: Engine, context: Context, people: Any
) -> None:
    spawner = spawner_of(people, context, "ada")
    start = asyncio.ensure_future(spawner.start())
    await until(lambda: [one["State"] for one in containers(context)] == ["running"])
    engine.kill()
    await until(start.done, seconds=60)
    refused = start.exception()
    assert isinstance(refused, CannotStart)
    assert "no Docker engine answers" in refused.jupyterhub_message
    engine.start()
    await until(lambda: not containers(context))
    await until(lambda: not Spawner._cleanings)
    assert held(context) == (0, 0)
    assert row(context).ending is None


async def test_a_workspace_ends_with_the_engine_and_its_user_is_told(
    engine: Engine, context: Context, people: Any
) -> None:
    spawner = await running(people, context)
    engine.kill()
    # Nobody can tell, and what cannot be told is not ended.
    assert await spawner.poll() is None
    engine.start()
    assert await spawner.poll() is not None
    assert "Docker engine or the machine was restarted" in str(row(context).ending)
    assert containers(context) == []
    assert held(context) == (0, 0)


async def test_with_live_restore_a_workspace_outlives_the_engine(
    engine: Engine, context: Context, people: Any
) -> None:
    engine.kill()
    engine.start("--live-restore")
    spawner = await running(people, context)
    [before] = containers(context)
    engine.kill()
    assert await spawner.poll() is None
    engine.start("--live-restore")
    assert await spawner.poll() is None
    [after] = containers(context)
    assert (after["Id"], after["State"]) == (before["Id"], "running")
    assert held(context) == (0, 1)
    await spawner.stop(now=True)
    assert containers(context) == []
    assert held(context) == (0, 0)


async def test_a_stop_while_the_engine_is_away_is_made_good_when_it_is_back(
    engine: Engine, context: Context, people: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perijove_hub.hub.starting.STOPPED", 0.5)
    spawner = await running(people, context)
    engine.kill()
    await spawner.stop()
    assert held(context) == (0, 1)
    engine.start()
    await until(lambda: not Spawner._cleanings)
    assert containers(context) == []
    assert held(context) == (0, 0)


@pytest.mark.parametrize("step", ["home", "container", "server"])
async def test_a_start_that_is_cancelled_anywhere_leaves_nothing(
    context: Context, people: Any, step: str
) -> None:
    spawner = spawner_of(people, context, "ada")
    start = asyncio.ensure_future(spawner.start())
    async with asyncio.timeout(30):
        # Told at once: a look now and then would miss a step on a fast machine.
        async for event in spawner.news.follow():
            if event["step"] == step:
                break
    # At "home" the engine is making the container right now.
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    await until(lambda: not Spawner._cleanings)
    assert containers(context) == []
    assert held(context) == (0, 0)


async def test_a_container_that_knows_another_hub_is_stopped_and_its_user_told(
    context: Context, people: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    spawner = await running(people, context)
    elsewhere = "http://10.9.9.9:8081/hub/api"
    monkeypatch.setattr(Topology, "inside", property(lambda self: Moved(elsewhere)))
    assert await spawner.poll() is not None
    assert "The Hub has another address" in str(row(context).ending)
    assert containers(context) == []
    assert held(context) == (0, 0)


class Moved:
    """A topology after a move."""

    def __init__(self, hub_api_url: str) -> None:
        self.hub_api_url = hub_api_url


async def test_a_server_that_dies_at_once_says_its_last_words(
    context: Context, people: Any
) -> None:
    spawner = spawner_of(people, context, "ada")
    spawner.args = ["no-number"]
    with pytest.raises(CannotStart) as refused:
        await spawner.start()
    assert "invalid time interval" in refused.value.jupyterhub_message
    assert containers(context) == []
    assert held(context) == (0, 0)


async def test_an_image_that_is_no_longer_there_is_said(context: Context, people: Any) -> None:
    with context.database.session() as session:
        register_builtin(
            session,
            "cpu",
            digest="sha256:" + "0" * 64,
            description="gone",
            interfaces=["lab"],
        )
    with pytest.raises(CannotStart) as refused:
        await spawner_of(people, context, "ada").start()
    assert "no longer on the Docker engine" in refused.value.jupyterhub_message
    assert held(context) == (0, 0)


async def test_an_open_network_starts_nothing(context: Context, people: Any) -> None:
    names = Names.of(context.data.root)
    firewall.lift(names)
    with pytest.raises(CannotStart) as refused:
        await spawner_of(people, context, "ada").start()
    assert "network is not closed" in refused.value.jupyterhub_message
    firewall.enforce(names, context.topology, [])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("ada", "x-y"), ("ada.x", "y")),
        (("ada", "x"), ("ada.x", "")),
        (("ada", ""), ("ada.", "")),
        (("a-b", ""), ("a_2db", "")),
        (("ada", "srv"), ("adasrv", "")),
        (("x" * 120 + "1", ""), ("x" * 120 + "2", "")),
        (("Ada", ""), ("ada", "")),
    ],
)
async def test_names_that_collide_after_escaping_are_two_containers(
    context: Context, people: Any, one: tuple[str, str], other: tuple[str, str]
) -> None:
    first, second = spawner_of(people, context, *one), spawner_of(people, context, *other)
    assert first.object_name != second.object_name
    assert first.holder != second.holder
    assert len(first.object_name) <= 128


async def test_named_servers_are_containers_of_their_own(context: Context, people: Any) -> None:
    default, named = spawner_of(people, context, "ada"), spawner_of(people, context, "ada", "big")
    for spawner in (default, named):
        _, choice = await spawner._decide()
        await spawner.launch(choice, [])
    assert len(containers(context)) == 2
    await default.stop(now=True)
    [left] = containers(context)
    assert left["Labels"]["perijove.server"] == "big"
    await named.stop(now=True)


async def test_engine_calls_of_ten_starts_go_side_by_side(context: Context, people: Any) -> None:
    spawners = [spawner_of(people, context, f"user{number}") for number in range(10)]
    all_of_them = threading.Barrier(10)

    def call(api: Any) -> None:
        api.ping()
        # Broken, and raises, where one call waits for another to end.
        all_of_them.wait(30)

    await asyncio.gather(*(spawner.call(call) for spawner in spawners))

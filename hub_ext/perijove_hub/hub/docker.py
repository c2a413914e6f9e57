"""Workspaces in Docker: a container each, made from ``engine.Sandbox``, started by image id."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar, TypeVar

import docker
from docker.errors import APIError, NotFound
from dockerspawner import DockerSpawner
from traitlets import Unicode, default

from perijove_hub import files
from perijove_hub.context import Context, Topology
from perijove_hub.engine import Names, Sandbox, firewall, memory, network
from perijove_hub.engine.client import EngineDown, connect, reaching
from perijove_hub.engine.sandbox import HOME
from perijove_hub.hub.cannot import CannotStart
from perijove_hub.hub.spawner import tutorial_path
from perijove_hub.hub.starting import Starting
from perijove_hub.pool.claiming import claim
from perijove_hub.workspaces import endings, ledger, unfinished
from perijove_hub.workspaces.choice import Choice
from perijove_hub.workspaces.queue import Line
from perijove_hub.workspaces.unfinished import remove

T = TypeVar("T")

#: Where the server listens in its container.
PORT = 8888
#: The container's label with the Hub's address that it was started with.
HUB = "perijove.hub"
#: What opens, by interface. code-server and RStudio stand behind the image's own proxy.
PATHS = {
    "lab": "/lab",
    "notebook": "/tree",
    "terminal": "/terminals/1",
    "code-server": "/code-server/",
    "rstudio": "/rstudio/",
}
#: Engine calls at the same time; DockerSpawner's own has one thread for all users.
CALLS = 32
#: Seconds between two tries to remove something while the engine is away.
RETRY = 2.0


def embed(c: Any, context: Context, topology: Topology) -> None:
    """Spawn workspaces as containers."""
    PerijoveDockerSpawner.context = context
    PerijoveDockerSpawner.line = Line(context.settings.workspaces.concurrent_starts)
    c.JupyterHub.spawner_class = PerijoveDockerSpawner
    c.JupyterHub.hub_connect_ip = topology.host
    # Past the firewall's redirect, so that a Hub on another port finds its workspaces again.
    c.Spawner.hub_connect_url = topology.inside.hub_api_url.removesuffix("/hub/api")
    if "demo" in context.settings.catalog.sources:
        c.PerijoveDockerSpawner.tutorial = tutorial_path()
    unfinished.clear(context)


class PerijoveDockerSpawner(Starting, DockerSpawner):  # type: ignore[misc]
    """One container per workspace: no root, no capabilities, nothing writable but the home."""

    local = False

    tutorial = Unicode(help="A notebook put in every new home").tag(config=True)

    _calls: ClassVar[ThreadPoolExecutor] = ThreadPoolExecutor(CALLS, "docker")
    _engine: ClassVar[docker.DockerClient | None] = None
    _connecting: ClassVar[Lock] = Lock()
    #: Kills for memory that its user was told of.
    _kills = 0
    #: Calls that are not done.
    _pending: frozenset[asyncio.Future[Any]] = frozenset()
    #: Whether the engine was away when it was last looked at.
    _away = False
    #: The last peak of memory, in bytes; gone with the container when it dies.
    _peak: int | None = None

    @default("object_name")  # type: ignore[untyped-decorator]
    def _object_name_default(self) -> str:
        # No two users or servers collide in it, and nobody else's container has it.
        return self.names.container("w", self.user.name, self.name)

    @property
    def names(self) -> Names:
        """Names on the engine."""
        return Names.of(self.context.data.root)

    @property
    def container(self) -> str | None:
        """The container's id."""
        return self.object_id or None

    async def call(self, work: Callable[[Any], T]) -> T:
        """Run ``work`` with the engine's API, beside others'. Raises ``EngineDown``."""
        return await self._aside(partial(self._with, work))

    async def _aside(self, work: Callable[[], T]) -> T:
        """Run ``work`` in a thread, to its end even when the caller is cancelled."""
        future = asyncio.get_running_loop().run_in_executor(self._calls, work)
        self._pending = frozenset({*(one for one in self._pending if not one.done()), future})
        return await asyncio.shield(future)

    @classmethod
    def _with(cls, work: Callable[[Any], T]) -> T:
        with cls._connecting:
            if cls._engine is None:
                cls._engine = connect()
            api = cls._engine.api
        with reaching():
            return work(api)

    # --- starting -----------------------------------------------------------------------

    async def check_ready(self) -> None:
        """Refuse when the engine is away or its containers' network is open."""
        try:
            await self.call(lambda api: api.ping())
        except EngineDown as error:
            raise _away(error) from None
        if not await self._aside(partial(firewall.in_force, self.names)):
            raise CannotStart(
                "The containers' network is not closed, so nothing is started on it.",
                fix="Try again in half a minute; an administrator sees why in the worker's log.",
                reason="firewall",
                status=503,
            )

    async def launch(self, choice: Choice, gpus: Sequence[str]) -> tuple[str, int]:
        """Make the home, then claim a waiting container or make one."""
        mounts, groups = await self._furnish()
        self.news.say("home", "Your home is ready")
        self._open(choice)
        self._kills, self._peak = 0, None
        sandbox = Sandbox(
            self.names.network,
            memory_mb=choice.limits.memory_mb,
            cpu=choice.limits.cpu,
            gpus=gpus,
            mounts=mounts,
            groups=groups,
            labels=self._labels(),
        )
        environment = self.get_env()
        command = await self._command(choice)
        address = await self._claim(choice, sandbox, environment, command)
        if address is None:
            address = await self._make(choice, sandbox, environment, command)
        return address, PORT

    def explained(self, error: Exception) -> CannotStart:
        """Say why, when it is the engine's or the files' fault."""
        match error:
            case EngineDown():
                return _away(error)
            case files.FilesError():
                return CannotStart(f"Your files cannot be had: {error}", reason="files")
            case APIError():
                return CannotStart(
                    f"The Docker engine refuses your workspace: {error.explanation}",
                    fix="Choose another size or image, or tell an administrator.",
                    reason="engine",
                )
        return super().explained(error)

    async def _furnish(self) -> tuple[list[Any], list[int]]:
        context, who = self.context, self.who
        tutorial = Path(self.tutorial) if self.tutorial else None

        def furnish() -> tuple[list[Any], list[int]]:
            files.furnish(context, who.name, tutorial)
            mounts = files.mounts(context, user=who.name, groups=who.groups)
            return mounts, files.gids(context, groups=who.groups)

        return await self._aside(furnish)

    def _open(self, choice: Choice) -> None:
        """Set what JupyterHub's own ``get_env`` reads."""
        self.image = choice.digest
        self.mem_limit = choice.limits.memory_mb * 2**20
        self.cpu_limit = choice.limits.cpu
        self.notebook_dir = HOME
        self.default_url = PATHS[choice.interface.value]
        home = files.home_of(self.context, self.user.name)
        if choice.interface.value == "lab" and self.tutorial and home is not None:
            name = Path(self.tutorial).name
            # By lstat, because what lies in a home may be a link to anywhere.
            if _is_there(home / name):
                self.default_url = f"/lab/tree/{name}"

    def _labels(self) -> dict[str, str]:
        return {
            **self.names.labels,
            "perijove.kind": "w",
            "perijove.user": self.user.name,
            "perijove.server": self.name,
            HUB: self.context.topology.inside.hub_api_url,
        }

    def get_env(self) -> dict[str, str]:
        """Say who is at home where, and in what they work."""
        env: dict[str, str] = super().get_env()
        env.update(HOME=HOME, USER=self.user.name, LOGNAME=self.user.name)
        if self.choice is not None:
            env.update(
                PERIJOVE_IMAGE=self.choice.image or "",
                PERIJOVE_IMAGE_DIGEST=self.choice.digest or "",
                PERIJOVE_SIZE=self.choice.size,
            )
        return env

    async def _command(self, choice: Choice) -> list[str]:
        """Return the image's own command, with what JupyterHub adds. Raises ``CannotStart``."""
        try:
            found = await self.call(lambda api: api.inspect_image(choice.digest))
        except NotFound:
            raise CannotStart(
                f"The image {choice.image} is no longer on the Docker engine.",
                fix="Choose another version or image, or build it again.",
                reason="image",
            ) from None
        command: list[str] = [*(found["Config"].get("Cmd") or []), *self.get_args()]
        return command

    async def _claim(
        self, choice: Choice, sandbox: Sandbox, environment: dict[str, str], command: list[str]
    ) -> str | None:
        """Take a waiting container of the pool; ``None`` when none fits."""
        if sandbox.gpus:
            # A container that waits has no device.
            return None
        context, user, server = self.context, self.user.name, self.name
        name = self.object_name
        await self.call(lambda api: remove(api, name))

        def work() -> Any:
            return claim(
                context,
                digest=choice.digest or "",
                size=choice.size,
                user=user,
                server=server,
                environment=environment,
                command=command,
                mounts=list(sandbox.mounts),
                name=name,
                groups=sandbox.groups,
            )

        claimed = await self._aside(work)
        if claimed is None:
            return None
        self.object_id = claimed.container
        self.news.say("container", "A waiting container is yours")
        return str(claimed.address)

    async def _make(
        self, choice: Choice, sandbox: Sandbox, environment: dict[str, str], command: list[str]
    ) -> str:
        """Make a container and start it; return its address."""
        name = self.object_name

        def work(api: Any) -> str:
            remove(api, name)
            made = api.create_container(
                choice.digest,
                command,
                name=name,
                user=sandbox.user,
                environment=environment,
                labels=sandbox.labels,
                host_config=api.create_host_config(**sandbox.host_config()),
                networking_config=network.place(api, sandbox.network),
            )["Id"]
            return str(made)

        self.object_id = await self.call(work)
        self.news.say("container", "Your container is made")
        await self.call(lambda api: api.start(self.object_id))
        found = await self.call(lambda api: api.inspect_container(self.object_id))
        return str(found["NetworkSettings"]["Networks"][sandbox.network]["IPAddress"])

    # --- looking and stopping -----------------------------------------------------------

    async def poll(self) -> int | str | None:
        """Return ``None`` while it runs, and while nobody can tell.

        One that has ended is removed at once, with all it held, and its user is told why.
        """
        if not self.object_id:
            return 0
        try:
            found = await self.call(lambda api: api.inspect_container(self.object_id))
        except NotFound:
            await self.over(endings.ENDED)
            self.object_id = ""
            return 1
        except EngineDown as error:
            self.log.warning("%s cannot be looked at: %s", self.holder, error)
            self._away = True
            return None
        labels = found["Config"]["Labels"] or {}
        here = self.context.topology.inside.hub_api_url
        if not found["State"]["Running"]:
            await self._ended(found["State"])
            return int(found["State"]["ExitCode"] or 1)
        if labels.get(HUB, here) != here:
            await asyncio.wait([self._clean(grace=10, ending=endings.MOVED)])
            return 1
        self._away = False
        await self._watch_memory(found["State"]["Pid"])
        return None

    async def _ended(self, state: Mapping[str, Any]) -> None:
        killed = await self._aside(partial(memory.killed, self.object_id))
        limit = await self._limit()
        advice = await self._advice(max(self._peak or 0, limit) if limit else self._peak)
        ending = endings.of_exit(state, killed=killed, memory=advice, engine_away=self._away)
        await asyncio.wait([self._clean(grace=0, ending=ending)], timeout=10)

    async def _watch_memory(self, pid: int) -> None:
        """Tell the user of a process that was killed while the workspace runs on."""
        found = await self._aside(partial(memory.of_process, pid, self.object_id))
        if found is None:
            return
        self._peak = found.peak
        if found.kills <= self._kills:
            return
        self._kills = found.kills
        killed = await self._aside(partial(memory.killed, self.object_id))
        text = endings.of_kill(found, killed=killed, advice=await self._advice(None))
        user, server = self.user.name, self.name
        await self.writing(
            lambda session: ledger.note(session, user=user, server=server, ending=text)
        )

    async def _limit(self) -> int:
        row = await self.row()
        size = self.settings.workspaces.sizes.get((row.choice if row else {}).get("size", ""))
        return size.memory_mb * 2**20 if size else 0

    async def _advice(self, peak: int | None) -> str:
        row = await self.row()
        size = str((row.choice if row else {}).get("size", ""))
        return endings.advice(self.settings, size=size, groups=self.who.groups, peak=peak)

    async def died(self) -> str | None:
        """Return why it ended and its log's last lines, or ``None`` while it runs."""
        found = await self.call(lambda api: api.inspect_container(self.object_id))
        if found["State"]["Running"]:
            return None
        if found["State"]["OOMKilled"]:
            return await self._advice(None)
        log = await self.call(lambda api: api.logs(self.object_id, tail=3))
        return str(log.decode(errors="replace"))[-500:].strip()

    async def discard(self, *, grace: float) -> None:
        """Remove the container, however often the engine must be asked."""
        if self._pending:
            # A cancelled start may be about to make what is to be removed.
            await asyncio.wait(self._pending)
        target, stop = self.object_id or self.object_name, grace
        while True:
            try:
                await self.call(partial(remove, container=target, grace=stop))
                break
            except EngineDown as error:
                self.log.warning("%s is removed when the engine is back: %s", target, error)
                stop = 0
                await asyncio.sleep(RETRY)
        self.object_id = ""


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except OSError:
        return False
    return True


def _away(error: EngineDown) -> CannotStart:
    return CannotStart(f"Nothing can be started now: {error}", reason="engine", status=503)

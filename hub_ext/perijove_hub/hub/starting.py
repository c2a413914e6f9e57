"""What every workspace's start has in common, however it then runs.

Choice, line, steps, record, and leaving nothing half made: ``PerijoveDockerSpawner`` and
``LocalSpawner`` only say how to launch, how to tell that it died, and how to discard.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, TypeVar

import httpx
from sqlalchemy.orm import Session

from perijove.types.base import Principal
from perijove.types.workspaces import Interface, Profile
from perijove_hub import files
from perijove_hub.context import Context
from perijove_hub.exceptions import Invalid, ProblemError, Refused
from perijove_hub.gpus import leases
from perijove_hub.hub.cannot import CannotStart
from perijove_hub.hub.news import News
from perijove_hub.hub.pages import options_from_form
from perijove_hub.launch.http import NO_TLS
from perijove_hub.settings import Settings
from perijove_hub.store.models import WorkspaceRow
from perijove_hub.usage import quotas
from perijove_hub.workspaces import choice as choosing
from perijove_hub.workspaces import ledger
from perijove_hub.workspaces import offer as offering
from perijove_hub.workspaces.choice import Choice
from perijove_hub.workspaces.offer import Notice, Offer
from perijove_hub.workspaces.queue import Line, Missing, Place

T = TypeVar("T")

#: Seconds a start may take after it has left the line.
WITHIN = 120.0
#: What the Hub is told instead, so that it does not count the waiting in line.
PATIENCE = 7 * 86_400
#: Seconds between two looks at a server that is starting, and at its process.
LOOK, DEAD_LOOK = 0.03, 1.0
#: Seconds a start waits for what is left of the last one.
CLEANED = 15.0
#: Seconds a stop, and the tidying after a failed start, may take before they go on by themselves.
STOPPED, TIDIED = 30.0, 5.0


class Starting:
    """The part of a spawner that is the same for all; comes before JupyterHub's class."""

    context: ClassVar[Context]
    """Set before the Hub makes the first spawner."""
    line: ClassVar[Line]
    local: ClassVar[bool]
    """Whether workspaces are processes beside the Hub, without image and limits."""

    #: By holder: what removes the rest of a workspace, and goes on while an engine is away.
    _cleanings: ClassVar[dict[str, asyncio.Task[None]]] = {}
    _threads: ClassVar[ThreadPoolExecutor] = ThreadPoolExecutor(16, "perijove")

    # Of JupyterHub's Spawner.
    user: Any
    name: str
    server: Any
    log: Any
    orm_spawner: Any
    user_options: dict[str, Any]

    #: What it runs with; null before a start in this process.
    choice: Choice | None = None
    _news: News | None = None
    _writing: asyncio.Future[Any] | None = None

    # --- what the classes below say -----------------------------------------------------

    async def launch(self, choice: Choice, gpus: Sequence[str]) -> tuple[str, int]:
        """Start it; return where its server will answer."""
        raise NotImplementedError

    async def died(self) -> str | None:
        """Return its last words when it has ended, ``None`` while it runs."""
        raise NotImplementedError

    async def discard(self, *, grace: float) -> None:
        """Stop it, if it runs, and remove what is left; until nothing is left."""
        raise NotImplementedError

    async def check_ready(self) -> None:
        """Raise ``CannotStart`` when nothing can be started now."""

    # --- who and what -------------------------------------------------------------------

    @property
    def settings(self) -> Settings:
        """The settings of this Perijove."""
        return self.context.settings

    @property
    def holder(self) -> str:
        """What leases and usage call this workspace."""
        return ledger.holder(self.user.name, self.name)

    @property
    def who(self) -> Principal:
        """Its user, with the groups of this moment."""
        return Principal(
            name=self.user.name,
            groups=sorted(group.name for group in self.user.groups),
            admin=bool(self.user.admin),
        )

    @property
    def news(self) -> News:
        """What the present start has got to."""
        if self._news is None:
            self._news = News()
        return self._news

    async def row(self) -> WorkspaceRow | None:
        """Return what the database knows of this workspace."""
        key = (self.user.name, self.name)
        return await self.reading(lambda session: session.get(WorkspaceRow, key))

    # --- starting -----------------------------------------------------------------------

    async def start(self) -> tuple[str, int]:
        """Wait in line, start, and return once the server answers. Raises ``CannotStart``."""
        self.news.begin()
        profile, choice = await self._decide()
        await self.check_ready()
        await self._cleaned()
        user, server = self.user.name, self.name
        await self.writing(lambda session: ledger.asking(session, user=user, server=server))
        self.choice = choice
        place = self.line.join(self._ask(choice), gpus=bool(choice.limits.gpus) and not self.local)
        succeeded = False
        try:
            gpus = await self._turn(place)
            async with asyncio.timeout(WITHIN):
                address = await self.launch(choice, gpus)
                await self._answering(*address)
            await self._record(profile, choice)
            succeeded = True
            return address
        except asyncio.CancelledError:
            # The Hub waits a second for this, so the rest goes on by itself.
            _ = self._clean(grace=0)
            raise
        except Exception as error:
            await asyncio.wait([self._clean(grace=0)], timeout=TIDIED)
            raise self.explained(error) from error
        finally:
            place.leave(succeeded=succeeded)

    async def _decide(self) -> tuple[Profile, Choice]:
        """Check what is asked for, and that its user may start anything. Raises ``CannotStart``."""
        who, local = self.who, self.local
        try:
            profile = choosing.parse(self.user_options)
            # Selected again on the page that says what is wrong with it.
            self.wanted = profile
            choice = await self.reading(
                lambda session: choosing.resolve(session, self.settings, profile, who, local=local)
            )
            await self.reading(lambda session: self._permit(session, choice))
        except ProblemError as problem:
            if isinstance(problem, Invalid):
                # The Hub has stored it for the next start, which would fail again.
                row = await self.row()
                self.user_options = ledger.asked(row.choice) if row else {}
                self.orm_spawner.user_options = self.user_options
            raise CannotStart.of(problem) from None
        self.wanted = None
        return profile, choice

    def _permit(self, session: Session, choice: Choice) -> None:
        """Raise ``Refused`` when quota or home are used up."""
        over = quotas.check(
            session, self.settings, user=self.user.name, group=choice.group, size=choice.size
        )
        if over:
            raise Refused(over)
        full = files.over_limit(self.context, session, self.user.name)
        # A terminal is how one makes room.
        if full and choice.interface is not Interface.terminal:
            raise Refused(full)

    def _ask(self, choice: Choice) -> Callable[[], Any]:
        name, holder, local = self.user.name, self.holder, self.local
        most = self.settings.workspaces.most_running

        def work(session: Session) -> list[str] | Missing:
            if most is not None and ledger.running(session) + self.line.starting >= most:
                return Missing.room
            if local or not choice.limits.gpus:
                return []
            got = leases.acquire(
                session, kind=ledger.KIND, holder=holder, user=name, gpus=choice.limits.gpus
            )
            return Missing.gpu if got is None else got

        return lambda: self.writing(work)

    async def _turn(self, place: Place) -> list[str]:
        turn = asyncio.ensure_future(place.turn())
        try:
            # Most need not wait, and nobody is told of a line then.
            await asyncio.wait([turn], timeout=0.05)
            while not turn.done():
                self.news.say("line", place.words)
                await asyncio.wait([turn], timeout=1)
            return turn.result()
        finally:
            turn.cancel()

    async def _answering(self, host: str, port: int) -> None:
        """Return when the server answers; raise ``CannotStart`` when it died instead."""
        self.news.say("server", "Your server is starting")
        url = f"http://{host}:{port}{self.server.base_url}api"
        looked = asyncio.get_running_loop().time()
        async with httpx.AsyncClient(timeout=5, trust_env=False, verify=NO_TLS) as client:
            while True:
                try:
                    # No more than the headers: what stands there may be the user's own code, and
                    # its answer without an end.
                    async with client.stream("GET", url) as answer:
                        if answer.status_code < 500:
                            return
                except httpx.HTTPError:
                    pass
                if asyncio.get_running_loop().time() - looked > DEAD_LOOK:
                    words = await self.died()
                    if words is not None:
                        raise CannotStart(f"Your server ended while it was starting. {words}")
                    looked = asyncio.get_running_loop().time()
                await asyncio.sleep(LOOK)

    async def _record(self, profile: Profile, choice: Choice) -> None:
        user, server, container = self.user.name, self.name, self.container
        await self.writing(
            lambda session: ledger.began(
                session,
                user=user,
                server=server,
                profile=profile,
                choice=choice,
                container=container,
            )
        )

    @property
    def container(self) -> str | None:
        """The container's id, where there is one."""
        return None

    def explained(self, error: Exception) -> CannotStart:
        """Say to the user why a start has failed."""
        if isinstance(error, CannotStart):
            return error
        if isinstance(error, ProblemError):
            return CannotStart.of(error)
        if isinstance(error, TimeoutError):
            return CannotStart(
                f"Your server did not answer within {WITHIN:.0f} s.",
                fix="Try again, or choose a larger size.",
                reason="timeout",
            )
        self.log.error("%s did not start", self.holder, exc_info=error)
        return CannotStart(
            "Your workspace could not be started; the Hub's log says why.",
            fix="Try again; tell an administrator if it stays.",
        )

    # --- stopping -----------------------------------------------------------------------

    async def stop(self, now: bool = False) -> None:
        """Stop it and give back what it held; while an engine is away that goes on by itself."""
        task = self._clean(grace=0 if now else 10)
        await asyncio.wait([task], timeout=STOPPED)

    def _clean(self, *, grace: float, ending: str | None = None) -> asyncio.Task[None]:
        """Leave nothing: no process or container, no lease, no open usage."""
        holder = self.holder
        going = self._cleanings.get(holder)
        if going is not None:
            return going
        task = asyncio.ensure_future(self._leave_nothing(grace=grace, ending=ending))
        self._cleanings[holder] = task

        def over(done: asyncio.Task[None]) -> None:
            self._cleanings.pop(holder, None)
            if not done.cancelled() and done.exception() is not None:
                self.log.error("%s was not cleared away", holder, exc_info=done.exception())
            self.line.tell()

        task.add_done_callback(over)
        return task

    async def _leave_nothing(self, *, grace: float, ending: str | None) -> None:
        if self._writing is not None:
            # What a cancelled start began to write, such as a lease, is given back after it.
            await asyncio.wait([self._writing])
        await self.discard(grace=grace)
        await self.over(ending)

    async def over(self, ending: str | None) -> None:
        """Record that nothing of it is left."""
        user, server = self.user.name, self.name
        await self.writing(
            lambda session: ledger.ended(session, user=user, server=server, ending=ending)
        )

    async def _cleaned(self) -> None:
        """Wait for what is left of the last start. Raises ``CannotStart``."""
        going = self._cleanings.get(self.holder)
        if going is not None:
            await asyncio.wait([going], timeout=CLEANED)
            if not going.done():
                raise CannotStart(
                    "Your last workspace is still being removed.",
                    fix="Try again in a minute.",
                    reason="busy",
                    status=503,
                )

    async def rename(self, old_name: str, new_name: str) -> None:
        """Keep the last choice when a named server gets another name."""
        user = self.user.name
        await self.writing(lambda session: ledger.renamed(session, user, old_name, new_name))

    # --- pages --------------------------------------------------------------------------

    #: What the spawn page selects when it is next shown, instead of the last choice.
    wanted: Profile | None = None

    def options_from_query(self, query: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        """Select on the spawn page what a link asks for; only a person starts anything.

        Raises ``CannotStart``, which is how the Hub comes to show the page.
        """
        self.wanted = choosing.parse(options_from_form(query))
        raise CannotStart(
            "A link has selected what you see here. Look at it, and press Start.",
            reason="link",
            status=200,
        )

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """Yield what the start has got to, for the progress page."""
        async for event in self.news.follow():
            yield event

    async def offer(self, wanted: Profile | None = None) -> Offer:
        """Return what can be started now, with ``wanted`` or the last choice selected."""
        who, server, local = self.who, self.name, self.local
        context = self.context
        found = await self.reading(
            lambda session: offering.make(
                session, context, who, server=server, local=local, wanted=wanted
            )
        )
        try:
            await self.check_ready()
        except CannotStart as error:
            found.can_start = False
            found.notices.insert(
                0, Notice("danger", "Nothing can be started now", error.jupyterhub_message)
            )
        return found

    # --- the database, in threads -------------------------------------------------------

    async def reading(self, work: Callable[[Session], T]) -> T:
        """Run ``work`` in a reading transaction."""

        def run() -> T:
            with self.context.database.reading() as session:
                return work(session)

        return await asyncio.get_running_loop().run_in_executor(self._threads, run)

    async def writing(self, work: Callable[[Session], T]) -> T:
        """Run ``work`` in a transaction, to its end even when the caller is cancelled."""

        def run() -> T:
            with self.context.database.session() as session:
                return work(session)

        future = asyncio.get_running_loop().run_in_executor(self._threads, run)
        self._writing = future
        return await asyncio.shield(future)

"""What this server is busy with, told to the control plane, which shuts idle servers off.

Jupyter counts messages: a kernel in a long silent cell looks idle to it, and so does a terminal
in which a long command runs. Here what runs counts, whatever it says.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import psutil
from jupyter_server.serverapp import ServerApp
from jupyter_server.utils import ensure_async

from perijove.server.presence import Presence
from perijove.server.upstream import Upstream
from perijove.types.culling import ActivityReport, Busy, BusyKind, Idleness, IdleState

log = logging.getLogger(__name__)

#: Most and fewest seconds between reports.
PERIOD, NEAR = 30.0, 5.0
#: Seconds until the first: a server that starts is waited for, and has nothing to tell.
FIRST = 2.0
#: Longest name that is reported.
_LONGEST = 200


class ActivityReporter:
    """Reports again and again until it is cancelled; ``state`` is the last answer."""

    def __init__(self, server: ServerApp, upstream: Upstream, name: str) -> None:
        self._server = server
        self._presence = Presence(server.base_url)
        self._presence.watch(server.web_app.settings)
        self._upstream = upstream
        self._name = name
        self.state: IdleState | None = None

    async def run(self) -> None:
        """Report for as long as the server lives; a control plane that is away harms nothing."""
        await asyncio.sleep(FIRST)
        while True:
            try:
                await self.report()
                if self.state is not None and self.state.state is Idleness.stopping:
                    # In a task that ends: a thread that files are read in lives as long as the
                    # task that first needed it, and would keep the process from ending.
                    await asyncio.create_task(self._make_checkpoints())
                    await self.report(checkpointed=True)
            except (httpx.HTTPError, ValueError) as error:
                log.debug("activity could not be reported: %s", type(error).__name__)
            await asyncio.sleep(self._pause())

    def _pause(self) -> float:
        """Return the seconds until the next report: fewer the nearer the end is."""
        if self.state is None:
            return PERIOD
        left = (self.state.shut_off_at - datetime.now(UTC)).total_seconds()
        return min(PERIOD, max(NEAR, left / 4))

    async def report(self, *, checkpointed: bool = False) -> IdleState:
        """Report once. Raises ``httpx.HTTPError`` or ``ValueError`` for a strange answer."""
        report = ActivityReport(
            server=self._name,
            busy=self._busy(await self._paths()),
            last_activity=self._last_activity(),
            checkpointed=checkpointed,
        )
        request = self._upstream.request(
            "POST",
            "workspaces/activity",
            query="",
            headers={"Content-Type": "application/json"},
            body=report.model_dump_json().encode(),
        )
        answer = await self._upstream.send(request)
        try:
            answer.raise_for_status()
            self.state = IdleState.model_validate_json(await answer.aread())
        finally:
            await answer.aclose()
        return self.state

    def _last_activity(self) -> datetime:
        kernels: datetime = self._server.kernel_manager.last_kernel_activity
        terminals: datetime = self._server.web_app.settings.get("terminal_last_activity", kernels)
        return max(self._presence.last, kernels, terminals).astimezone(UTC)

    def _busy(self, paths: dict[str, str]) -> list[Busy]:
        return [*_busy_kernels(self._server, paths), *_terminals(self._server)][:100]

    async def _paths(self) -> dict[str, str]:
        """Return the notebook of each kernel that has one."""
        sessions = await self._server.session_manager.list_sessions()
        return {item["kernel"]["id"]: item["path"] for item in sessions}

    async def _make_checkpoints(self) -> None:
        """Make a checkpoint of every open notebook, as it was last saved."""
        contents = self._server.contents_manager
        for path in set((await self._paths()).values()):
            try:
                await ensure_async(contents.create_checkpoint(path))
            except Exception as error:
                log.warning("no checkpoint of %s: %s", path, error)


def _busy_kernels(server: ServerApp, paths: dict[str, str]) -> Iterator[Busy]:
    for kernel in server.kernel_manager.list_kernels():
        if kernel.get("execution_state") == "busy":
            name = paths.get(kernel["id"]) or kernel["name"]
            yield Busy(kind=BusyKind.kernel, name=name[:_LONGEST])


def _terminals(server: ServerApp) -> Iterator[Busy]:
    manager = server.web_app.settings.get("terminal_manager")
    for terminal in getattr(manager, "terminals", {}).values():
        command = _running_command(getattr(terminal.ptyproc, "pid", 0))
        if command:
            yield Busy(kind=BusyKind.terminal, name=command[:_LONGEST])


def _running_command(shell: int) -> str | None:
    """Return what runs below a terminal's shell, or ``None`` when it waits at its prompt."""
    try:
        children = psutil.Process(shell).children()
        for child in children:
            if child.status() != psutil.STATUS_ZOMBIE:
                return " ".join(child.cmdline()) or child.name()
    except (psutil.Error, ValueError):
        pass
    return None


def server_name() -> str:
    """Return the name of this server among its user's; empty for the default one."""
    return os.environ.get("JUPYTERHUB_SERVER_NAME", "")

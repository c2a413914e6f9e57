"""A kernel's sockets on this machine's loopback, carried to wherever the kernel is.

Each TCP connection to one of five local ports is carried in a WebSocket to the control plane,
which connects it to the kernel's container. When the control plane goes away and comes back,
what was under way goes on: see ``stream``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import Sequence
from functools import partial
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from perijove.exceptions import PerijoveError
from perijove.kernels.stream import BrokenStream, Stream

#: The sockets that are carried, in this order.
CHANNELS = ("shell", "iopub", "stdin", "control", "hb")
LOOPBACK = "127.0.0.1"
#: Seconds for which a new connection is held while its other end cannot be reached. ZeroMQ
#: gives up a greeting that is not answered after 30.
HOLD = 25.0
#: Seconds for which one that has been carried waits to be carried again.
KEEP = 3600.0
#: Most seconds that a new connection waits for those who listen.
LISTEN = 5.0
#: Bytes with which a ZeroMQ listener begins, before it subscribes: ZMTP's greeting and its READY.
GREETING = 64 + 27
#: Answers to a handshake that trying again does not change.
FINAL = frozenset({400, 401, 403, 404, 405, 422})


class TunnelError(PerijoveError):
    """The kernel could not be told what it needs."""


class _Straight(connect):
    """Connects to the address it was given, and to no other with the user's token."""

    def process_redirect(self, exc: Exception) -> Exception:
        """Follow nothing."""
        return exc


class Tunnel:
    """Five local ports. Every method runs on the background loop."""

    def __init__(self, url: str, token: str, log: Any) -> None:
        self._base = f"ws{url.rstrip('/').removeprefix('http')}/api/v1/kernels"
        self._headers = {"Authorization": f"Bearer {token}"}
        self._log = log
        self._kernel: str | None = None
        self._servers: list[asyncio.Server] = []
        self._links: set[asyncio.Task[None]] = set()
        self._listeners: set[Stream] = set()
        """The connections that carry the kernel's output."""
        self.ports: list[int] = []

    async def open(self, ports: Sequence[int] = (0, 0, 0, 0, 0)) -> None:
        """Listen; 0 is any free port. Raises ``OSError``."""
        for channel, port in zip(CHANNELS, ports, strict=True):
            server = await asyncio.start_server(partial(self._accept, channel), LOOPBACK, port)
            self._servers.append(server)
            self.ports.append(server.sockets[0].getsockname()[1])

    def lead_to(self, kernel_id: str) -> None:
        """Carry connections to this kernel."""
        self._kernel = kernel_id

    async def set_up(self, message: dict[str, Any]) -> None:
        """Tell a kernel that has just started what it is; raises ``TunnelError``."""
        for _ in range(3):
            try:
                link = await self._reach("setup")
                async with link:
                    await link.send(json.dumps({"do": "setup", **message}).encode() + b"\n")
                    answer = json.loads(await link.recv())
            except (OSError, WebSocketException, ValueError):
                continue
            if isinstance(answer, dict) and answer.get("ok") is True:
                return
            break
        raise TunnelError("The remote kernel could not be set up. Start it again.")

    async def cut(self) -> None:
        """Close every connection: there is no more kernel to resume them with.

        ZeroMQ makes new ones, and what it is asked to send before there is another kernel
        waits with it. Nothing may be taken from it for a kernel that will never hear it.
        """
        links = list(self._links)
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)

    async def close(self) -> None:
        """Close everything."""
        for server in self._servers:
            server.close()
        await self.cut()

    def _accept(
        self, channel: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        link = asyncio.create_task(self._carry(channel, reader, writer))
        self._links.add(link)
        link.add_done_callback(self._links.discard)

    async def _carry(
        self, channel: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        stream = Stream(reader, writer)
        name = secrets.token_hex(16)
        if channel == "iopub":
            self._listeners.add(stream)
        try:
            while not stream.over.is_set():
                hello = {"do": "stream", "id": name, "new": not stream.met}
                async with await self._reach(channel, KEEP if stream.met else HOLD) as link:
                    if channel == "shell" and not stream.met:
                        await self._heard()
                    try:
                        await link.send(json.dumps(hello).encode() + b"\n")
                        await stream.carry(_Link(link))
                    except BrokenStream:
                        break
                    except (OSError, ConnectionClosed):
                        continue
        except (OSError, WebSocketException) as error:
            self._log.debug("channel %s: %s", channel, type(error).__name__)
        finally:
            self._listeners.discard(stream)
            await stream.close()

    async def _heard(self) -> None:
        """Wait a little until those who listen to the kernel have subscribed to it.

        A cell that was sent while there was no kernel goes to the next one at once, and what it
        printed before anybody listened would be lost.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LISTEN):
                while any(one.delivered <= GREETING for one in self._listeners):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)

    async def _reach(self, channel: str, within: float = HOLD) -> ClientConnection:
        """Connect to the other end, again and again for ``within`` seconds.

        Raises what the last try raised.
        """
        deadline = asyncio.get_running_loop().time() + within
        pause = 0.05
        while True:
            try:
                return await _Straight(
                    f"{self._base}/{self._kernel}/channels/{channel}",
                    additional_headers=self._headers,
                    # Kernel messages are compressed or small, and time matters more.
                    compression=None,
                    proxy=None,
                    max_queue=2,
                    open_timeout=10,
                    close_timeout=1,
                    # Whoever is held up by a slow kernel answers no pings either.
                    ping_timeout=None,
                )
            except (OSError, WebSocketException) as error:
                final = isinstance(error, InvalidStatus) and error.response.status_code in FINAL
                if final:
                    # Or ZeroMQ would come back ten times a second.
                    await asyncio.sleep(2)
                if final or asyncio.get_running_loop().time() > deadline:
                    raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, 1.0)


class _Link:
    """A WebSocket as a carrier."""

    def __init__(self, link: ClientConnection) -> None:
        self._link = link

    async def read(self) -> bytes:
        """Return what has come."""
        try:
            return await self._link.recv(decode=False)
        except ConnectionClosed:
            return b""

    async def write(self, content: bytes) -> None:
        """Send, and wait for room."""
        await self._link.send(content)

"""The way from a user's server to the sockets of their kernel's container: raw bytes.

Containers do not reach each other, the control plane reaches them all. Each connection that
the user's server opens to one of a kernel's sockets is a WebSocket here and a TCP connection to
the container. What is said is signed with a key that only the two ends know.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass

from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocket, WebSocketDisconnect

from perijove.types.base import Principal
from perijove.types.kernels import CHANNELS, KernelState
from perijove_hub.access import require_scope
from perijove_hub.api.auth import bearer
from perijove_hub.api.problems import from_error
from perijove_hub.context import Context
from perijove_hub.exceptions import (
    Conflict,
    NotFound,
    ProblemError,
    Refused,
    Unauthenticated,
    Unavailable,
)
from perijove_hub.identity import Identifier
from perijove_hub.kernels import service
from perijove_hub.kernels.workload import secret
from perijove_hub.store.models import KernelRow

#: Bytes read at a time. One piece at a time is on its way in each direction: who reads slowly
#: slows down who writes.
PIECE = 64 * 1024
#: Seconds between looks at whether the caller may still be here.
RECHECK = 30.0
#: Seconds to reach a container.
CONNECT = 5.0

#: Close codes: https://www.iana.org/assignments/websocket/websocket.xhtml
ENDED, NOT_ALLOWED = 1000, 1008


@dataclass(frozen=True)
class Place:
    """A socket of a kernel's attempt."""

    address: str
    port: int
    greeting: bytes
    """What to say first: who we are, and which channel is wanted."""


async def serve(websocket: WebSocket, kernel_id: str, channel: str) -> None:
    """Carry one connection until either end closes it or the caller's rights end.

    Refusals are answered to the handshake, as problem documents, before anything is connected.
    """
    context: Context = websocket.app.state.context
    identifier: Identifier = websocket.app.state.identifier
    try:
        # Never the cookie: a page of somebody else's would send it too.
        token = bearer(websocket.headers.get("authorization"))
        principal = await _caller(identifier, token)
        place = await run_in_threadpool(_find, context, principal, kernel_id, channel)
    except ProblemError as error:
        await websocket.send_denial_response(from_error(error))
        return
    try:
        async with asyncio.timeout(CONNECT):
            reader, writer = await asyncio.open_connection(place.address, place.port)
    except OSError:
        deaf = Unavailable("The kernel does not listen yet, or no more.", fix="Try again.")
        await websocket.send_denial_response(from_error(deaf))
        return
    await websocket.accept()
    writer.write(place.greeting)
    code = ENDED
    try:
        watching = _watch(identifier, token, context, principal, kernel_id)
        code = await _first(_out(websocket, writer), _in(reader, websocket), watching)
    finally:
        writer.close()
        # RuntimeError: it is closed from the other side already.
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            await websocket.close(code)


async def _caller(identifier: Identifier, token: str | None) -> Principal:
    if token is None:
        raise Unauthenticated("No token.", fix="Send 'Authorization: Bearer TOKEN'.")
    principal = await identifier.identify(token)
    if principal is None:
        raise Unauthenticated("The token is unknown or has expired.", fix="Ask for a new one.")
    require_scope(principal, "start")
    return principal


def _find(context: Context, principal: Principal, kernel_id: str, channel: str) -> Place:
    """Return where to connect to; raises ``NotFound``, ``Refused`` or ``Conflict``."""
    with context.database.reading() as session:
        row = _owned(session, principal, kernel_id)
    if channel not in CHANNELS:
        raise NotFound(f"A kernel has no channel '{channel[:20]}'.")
    if row.state != KernelState.running.value or row.address is None:
        raise Conflict(f"The kernel is {row.state}.", fix="Wait until it runs.")
    greeting = json.dumps({"secret": secret(context, row), "channel": channel}) + "\n"
    return Place(row.address, row.ports[0], greeting.encode())


def _owned(session: Session, principal: Principal, kernel_id: str) -> KernelRow:
    row = service.find(session, principal, kernel_id)
    if row.user != principal.name:
        # An administrator stops kernels, and looks into none.
        raise Refused(f"This kernel is {row.user}'s.", fix="Only its owner connects to it.")
    return row


async def _first(*halves: asyncio._CoroutineLike[int]) -> int:
    """Run all until the first returns; return what it did, and end the others."""
    tasks = [asyncio.create_task(half) for half in halves]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return max(task.result() for task in done)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _out(websocket: WebSocket, writer: asyncio.StreamWriter) -> int:
    """From the user's server to the kernel."""
    with contextlib.suppress(WebSocketDisconnect, OSError, KeyError):
        while True:
            writer.write(await websocket.receive_bytes())
            await writer.drain()
    return ENDED


async def _in(reader: asyncio.StreamReader, websocket: WebSocket) -> int:
    """From the kernel to the user's server."""
    with contextlib.suppress(WebSocketDisconnect, OSError):
        while piece := await reader.read(PIECE):
            await websocket.send_bytes(piece)
    return ENDED


async def _watch(
    identifier: Identifier,
    token: str | None,
    context: Context,
    principal: Principal,
    kernel_id: str,
) -> int:
    """Return when the caller may not be here any more."""
    while True:
        await asyncio.sleep(RECHECK)
        try:
            again = await _caller(identifier, token)
            await run_in_threadpool(_still_theirs, context, again, kernel_id)
        except ProblemError:
            return NOT_ALLOWED


def _still_theirs(context: Context, principal: Principal, kernel_id: str) -> None:
    with context.database.reading() as session:
        _owned(session, principal, kernel_id)

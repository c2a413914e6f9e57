"""A TCP connection that outlives whatever carries it: nothing is lost, doubled or reordered.

Both ends of a carried connection hold one of these. What the local end writes is kept until the
other end has acknowledged it; when the carrier is lost, the next one goes on from there. What is
kept is bounded: beyond it, the local end is not read, and waits. Standard library only, because
one end lives in the kernel's container.

A frame is a byte that says what it is, four bytes of length, and the content:

* ``HELLO``: how many bytes have arrived so far; the first frame in each direction.
* ``DATA``: the next bytes.
* ``ACK``: how many bytes have arrived and been passed on.
* ``END``: the local end has closed, after all that came before.
* ``REFUSED``: there is no such connection here; the only frame of its carrier.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncGenerator
from typing import Protocol

HELLO, DATA, ACK, END, REFUSED = range(5)
#: Bytes read at a time.
PIECE = 64 * 1024
#: Most bytes kept for an end that has not acknowledged them.
WINDOW = 2 * 2**20

_HEAD = struct.Struct(">BI")
_COUNT = struct.Struct(">Q")


class Carrier(Protocol):
    """What carries frames, until it does not: then it returns nothing, or raises ``OSError``."""

    async def read(self) -> bytes:
        """Return the next bytes, or none at the end."""

    async def write(self, content: bytes) -> None:
        """Send them; return when there is room for more."""


class BrokenStream(OSError):
    """The other end does not speak as this module does, or has no such connection."""


def frame(kind: int, content: bytes = b"") -> bytes:
    """Return one frame."""
    return _HEAD.pack(kind, len(content)) + content


async def frames(carrier: Carrier) -> AsyncGenerator[tuple[int, bytes]]:
    """Give the frames that arrive; ends with the carrier. Raises ``BrokenStream``."""
    buffer = b""
    while True:
        while len(buffer) >= _HEAD.size:
            kind, length = _HEAD.unpack_from(buffer)
            if length > PIECE:
                raise BrokenStream("a frame is too large")
            whole = _HEAD.size + length
            if len(buffer) < whole:
                break
            content, buffer = buffer[_HEAD.size : whole], buffer[whole:]
            yield kind, content
        piece = await carrier.read()
        if not piece:
            return
        buffer += piece


class Stream:
    """One end: a local connection, and what it still owes the other end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._kept = bytearray()
        self._base = 0
        """How many bytes the other end has acknowledged; ``_kept`` begins there."""
        self._arrived = 0
        self._told = 0
        self._closed_here = self._closed_there = False
        self._stirred = asyncio.Event()
        self._room = asyncio.Event()
        self._turn = 0
        self._carrying: asyncio.Task[None] | None = None
        self.met = False
        """Whether the other end has ever answered."""
        self.over = asyncio.Event()
        """Set once either end has closed and the other knows."""
        self._reading = asyncio.create_task(self._read())

    @property
    def flushed(self) -> bool:
        """Whether the other end has all that the local end wrote, as far as it was read."""
        return not self._kept

    @property
    def delivered(self) -> int:
        """How many bytes of the local end the other end has written to its own."""
        return self._base

    @property
    def carried(self) -> bool:
        """Whether there is a carrier now."""
        return self._carrying is not None and not self._carrying.done()

    async def carry(self, carrier: Carrier) -> None:
        """Go on over ``carrier`` until it is lost, or another takes over, or all is over.

        Raises ``OSError`` when it breaks, ``BrokenStream`` when the other end does.
        """
        self._turn += 1
        turn = self._turn
        if self._carrying is not None:
            self._carrying.cancel()
            await asyncio.gather(self._carrying, return_exceptions=True)
            if turn != self._turn:
                return
        task = self._carrying = asyncio.create_task(self._carry(carrier))
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if turn == self._turn:
                task.cancel()
                raise

    async def close(self) -> None:
        """Close the local end; what the other end has not got is lost."""
        self.over.set()
        self._reading.cancel()
        if self._carrying is not None:
            self._carrying.cancel()
        self._writer.close()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                while len(self._kept) >= WINDOW:
                    self._room.clear()
                    await self._room.wait()
                piece = await self._reader.read(PIECE)
                if not piece:
                    break
                self._kept += piece
                self._stirred.set()
        self._closed_here = True
        self._stirred.set()

    async def _carry(self, carrier: Carrier) -> None:
        await carrier.write(frame(HELLO, _COUNT.pack(self._arrived)))
        self._told = self._arrived
        arriving = frames(carrier)
        try:
            async for kind, content in arriving:
                if kind == REFUSED:
                    self.over.set()
                    raise BrokenStream("there is no such connection")
                if kind != HELLO:
                    raise BrokenStream("it does not begin with its count")
                self.met = True
                self._acknowledged(content)
                await self._both_ways(carrier, arriving)
                return
        finally:
            await arriving.aclose()

    async def _both_ways(
        self, carrier: Carrier, arriving: AsyncGenerator[tuple[int, bytes]]
    ) -> None:
        halves = [
            asyncio.create_task(self._send(carrier)),
            asyncio.create_task(self._receive(arriving)),
        ]
        try:
            done, _ = await asyncio.wait(halves, return_when=asyncio.FIRST_COMPLETED)
            for half in done:
                half.result()
        finally:
            for half in halves:
                half.cancel()
            await asyncio.gather(*halves, return_exceptions=True)

    async def _send(self, carrier: Carrier) -> None:
        sent = self._base
        while True:
            self._stirred.clear()
            if self._arrived > self._told:
                self._told = self._arrived
                await carrier.write(frame(ACK, _COUNT.pack(self._told)))
            if self._closed_there:
                self.over.set()
                return
            begin = sent - self._base
            piece = bytes(self._kept[begin : begin + PIECE])
            if piece:
                sent += len(piece)
                await carrier.write(frame(DATA, piece))
            elif self._closed_here:
                await carrier.write(frame(END))
                # Over when the other end has taken it and hung up.
                await asyncio.Event().wait()
            else:
                await self._stirred.wait()

    async def _receive(self, arriving: AsyncGenerator[tuple[int, bytes]]) -> None:
        async for kind, content in arriving:
            if kind == DATA:
                self._arrived += len(content)
                # A local end that has closed takes nothing more: the other end will be told.
                with contextlib.suppress(OSError):
                    self._writer.write(content)
                    await self._writer.drain()
                self._stirred.set()
            elif kind == ACK:
                self._acknowledged(content)
            elif kind == END:
                # The other half acknowledges what came before, and then hangs up.
                self._closed_there = True
                self._stirred.set()
                await asyncio.Event().wait()
            else:
                raise BrokenStream(f"unknown frame {kind}")
        if self._closed_here and self.flushed:
            self.over.set()

    def _acknowledged(self, content: bytes) -> None:
        if len(content) != _COUNT.size:
            raise BrokenStream("a count has eight bytes")
        (count,) = _COUNT.unpack(content)
        if not self._base <= count <= self._base + len(self._kept):
            raise BrokenStream("it has counted what was never sent")
        del self._kept[: count - self._base]
        self._base = count
        self._room.set()

"""A connection that is carried on by carriers that break anywhere."""

from __future__ import annotations

import asyncio
import hashlib
import random

import pytest

from perijove.kernels.stream import REFUSED, WINDOW, BrokenStream, Stream, frame


class Pipe:
    """One direction of a carrier, which delivers in pieces of any size until it breaks."""

    def __init__(self, dice: random.Random, budget: int) -> None:
        self._dice = dice
        self._budget = budget
        self._content = bytearray()
        self._changed = asyncio.Event()

    def cut(self) -> None:
        """Break now."""
        self._budget = 0
        self._changed.set()

    async def write(self, content: bytes) -> None:
        if self._budget <= 0:
            raise ConnectionResetError
        # What is cut off has been sent, as far as its sender knows.
        self._content += content[: self._budget]
        self._budget -= len(content)
        self._changed.set()
        await asyncio.sleep(0)

    async def read(self) -> bytes:
        while not self._content:
            if self._budget <= 0:
                return b""
            self._changed.clear()
            await self._changed.wait()
        length = self._dice.randint(1, len(self._content))
        piece = bytes(self._content[:length])
        del self._content[:length]
        return piece


class End:
    """What one side sees of a carrier."""

    def __init__(self, incoming: Pipe, outgoing: Pipe) -> None:
        self.read, self.write = incoming.read, outgoing.write


async def local() -> tuple[Stream, asyncio.StreamReader, asyncio.StreamWriter]:
    """A stream, and whom it belongs to."""
    accepted: asyncio.Future[Stream] = asyncio.get_running_loop().create_future()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set_result(Stream(reader, writer))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    stream = await accepted
    server.close()
    return stream, reader, writer


async def carry(near: Stream, far: Stream, dice: random.Random, budget: int) -> None:
    """Carry both until a carrier breaks or all is over."""
    there, back = Pipe(dice, budget), Pipe(dice, budget)
    tasks = [
        asyncio.create_task(near.carry(End(back, there))),
        asyncio.create_task(far.carry(End(there, back))),
    ]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        there.cut()
        back.cut()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("seed", range(12))
async def test_every_byte_arrives_once_and_in_order_whatever_breaks(seed: int) -> None:
    dice = random.Random(seed)
    near, near_reader, near_writer = await local()
    far, far_reader, far_writer = await local()
    sent = {name: dice.randbytes(dice.randint(0, 3_000_000)) for name in ("there", "back")}

    async def speak(writer: asyncio.StreamWriter, content: bytes) -> None:
        for at in range(0, len(content), 50_000):
            writer.write(content[at : at + 50_000])
            await writer.drain()

    async def hear(reader: asyncio.StreamReader, length: int) -> bytes:
        return await reader.readexactly(length)

    talk = asyncio.gather(
        speak(near_writer, sent["there"]),
        speak(far_writer, sent["back"]),
        hear(far_reader, len(sent["there"])),
        hear(near_reader, len(sent["back"])),
    )
    carriers = 0
    async with asyncio.timeout(60):
        while not talk.done():
            carriers += 1
            carrying = asyncio.create_task(carry(near, far, dice, dice.randint(1, 200_000)))
            await asyncio.wait({carrying, talk}, return_when=asyncio.FIRST_COMPLETED)
            carrying.cancel()
            await asyncio.gather(carrying, return_exceptions=True)
    _, _, there, back = await talk
    for name, found in (("there", there), ("back", back)):
        assert hashlib.sha256(found).digest() == hashlib.sha256(sent[name]).digest()
    assert carriers > 1
    # One side hangs up, and the other hears of it.
    near_writer.close()
    while not (near.over.is_set() and far.over.is_set()):
        await carry(near, far, dice, 100_000)
    for stream in (near, far):
        await stream.close()
    assert await far_reader.read() == b""
    far_writer.close()


async def test_what_is_kept_for_an_end_that_is_away_is_bounded() -> None:
    stream, _, writer = await local()
    sent = 0
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
                sent += 65536
    assert WINDOW <= sent < WINDOW + 16 * 2**20
    assert len(stream._kept) < WINDOW + 2**20
    writer.transport.abort()
    await stream.close()


@pytest.mark.parametrize(
    "said",
    [
        frame(REFUSED),
        frame(1, b"data before hello"),
        b"\x00\xff\xff\xff\xff",
        frame(0, b"short"),
        frame(0, (2**40).to_bytes(8, "big")),
        frame(0, bytes(8)) + frame(77),
    ],
)
async def test_nonsense_from_the_other_end_breaks_the_connection_and_nothing_else(
    said: bytes,
) -> None:
    stream, _, writer = await local()
    incoming = Pipe(random.Random(0), 10_000)
    await incoming.write(said)
    with pytest.raises(BrokenStream):
        async with asyncio.timeout(5):
            await stream.carry(End(incoming, Pipe(random.Random(0), 10_000)))
    await stream.close()
    writer.close()

"""What answers where a workspace should be may be its user's own code."""

from __future__ import annotations

import asyncio
import types
from typing import Any

from perijove_hub.hub.news import News
from perijove_hub.hub.starting import Starting


class Endless:
    """Answers with a body that never ends."""

    def __init__(self) -> None:
        self.sent = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
                self.sent += 65536
        except OSError:
            pass
        finally:
            writer.close()


def test_the_hub_reads_no_body_of_a_workspace_that_starts() -> None:
    async def start() -> int:
        endless = Endless()
        server = await asyncio.start_server(endless.serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        spawner: Any = types.SimpleNamespace(
            news=News(), server=types.SimpleNamespace(base_url="/user/mallory/")
        )
        async with asyncio.timeout(5):
            await Starting._answering(spawner, "127.0.0.1", port)
        server.close()
        return endless.sent

    assert asyncio.run(start()) < 16 * 2**20

"""One thread that predicts, and a queue before it that is never long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

#: Most requests that wait or run.
WAITING = 64
#: Most bytes of requests that wait or run, unless it is a single one.
WAITING_BYTES = 64 * 1024 * 1024


class Busy(Exception):
    """The queue is full; the sender should try again in a moment."""


class Worker:
    """Runs predictions one after the other, off the event loop, so that ``/ping`` answers.

    One thread, because models need not be safe for more, and numpy uses all cores by itself.
    """

    def __init__(self, answer: Callable[[bytes, str], bytes]) -> None:
        self._answer = answer
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="predict")
        self._requests = 0
        self._bytes = 0

    async def score(self, body: bytes, content_type: str) -> bytes:
        """Answer a request in its turn; raises ``Busy`` at once when too many wait."""
        if self._requests and (
            self._requests >= WAITING or self._bytes + len(body) > WAITING_BYTES
        ):
            raise Busy
        self._requests += 1
        self._bytes += len(body)
        work = asyncio.get_running_loop().run_in_executor(
            self._pool, self._answer, body, content_type
        )
        # Counted until it has really ended: a sender that hangs up does not stop the thread.
        work.add_done_callback(lambda _: self._done(len(body)))
        return await asyncio.shield(work)

    def _done(self, size: int) -> None:
        self._requests -= 1
        self._bytes -= size

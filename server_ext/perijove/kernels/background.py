"""One thread with an event loop, for what must go on whatever the Jupyter server is doing.

Managers of kernels come with loops of their own, or with none that lasts; connections need one
that does.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


def submit(work: Coroutine[Any, Any, T]) -> Future[T]:
    """Have ``work`` done there."""
    return asyncio.run_coroutine_threadsafe(work, _loop())


async def run(work: Coroutine[Any, Any, T]) -> T:
    """Have ``work`` done there and wait for it here; cancelling this cancels that."""
    return await asyncio.wrap_future(submit(work))


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="perijove-kernels", daemon=True).start()
    return loop

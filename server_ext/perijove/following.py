"""Looking on while the control plane carries something out."""

from __future__ import annotations

import time
from collections.abc import Callable
from time import sleep
from typing import TypeVar

from perijove.client import Client
from perijove.exceptions import ApiError, Intercepted, Unreachable
from perijove.types.backfills import Backfill
from perijove.types.images import Build
from perijove.types.jobs import Run
from perijove.types.sweeps import Sweep

W = TypeVar("W", Build, Run, Backfill, Sweep)
A = TypeVar("A")

#: Seconds between two looks.
PERIOD = 0.5
#: Seconds the control plane may be away meanwhile: what it started goes on without it.
PATIENCE = 120.0


def until_ended(path: str, first: W, look: Callable[[W], None]) -> W:
    """Read ``path`` again and again until what is there has ended, however it ended.

    ``look`` is called with each reading, beginning with ``first``. Raises ``Unreachable`` or
    ``ApiError`` when the control plane stays away longer than ``PATIENCE``, or refuses.
    """
    seen = first
    with Client() as client:
        while True:
            look(seen)
            if seen.state.terminal:
                return seen
            sleep(PERIOD)
            seen = patiently(lambda: client.get(type(first), path))


def patiently(ask: Callable[[], A]) -> A:
    """Ask until there is an answer: a restart of the control plane is no reason to stop looking.

    Raises ``Unreachable`` or ``ApiError`` when it stays away longer than ``PATIENCE``, or refuses.
    """
    away: float | None = None
    while True:
        try:
            return ask()
        except (Unreachable, ApiError) as error:
            if (
                isinstance(error, ApiError)
                and not isinstance(error, Intercepted)
                and error.problem.status < 500
            ):
                raise
            away = away or time.monotonic()
            if time.monotonic() - away > PATIENCE:
                raise
        sleep(PERIOD)

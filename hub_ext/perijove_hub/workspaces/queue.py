"""The line of starts: first come, first served, a few at a time, and everybody sees their place.

It lives in the Hub's one process and event loop. Waiting is not kept over a restart of the
Hub: a start that was waiting is gone with it, and its page says so.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable
from enum import StrEnum

#: Seconds between two questions whether what is missing is there now.
PERIOD = 1.0
#: Seconds that a start is thought to take before one has been measured.
USUAL = 8.0
#: How many past starts the estimate is the mean of.
MEASURED = 20


class Missing(StrEnum):
    """What the first in line waits for, besides its turn."""

    room = "room"
    """As many workspaces run as may."""
    gpu = "gpu"
    """No GPU is free."""


#: Asks whether a start may go ahead: the GPUs it got (none for most), or what is missing.
Ask = Callable[[], Awaitable[list[str] | Missing]]


class Line:
    """Lets ``places`` starts go at a time, in the order they came.

    Who waits for a GPU is passed by those who need none; among themselves GPUs go in order.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._waiting: list[Place] = []
        self._starting: set[Place] = set()
        self._seconds: deque[float] = deque(maxlen=MEASURED)
        self._changed = asyncio.Event()

    def join(self, ask: Ask, *, gpus: bool = False) -> Place:
        """Stand in line; the place is given up with ``leave``, whatever happens."""
        place = Place(self, ask, gpus=gpus)
        self._waiting.append(place)
        self.tell()
        return place

    @property
    def starting(self) -> int:
        """How many starts go on now."""
        return len(self._starting)

    def tell(self) -> None:
        """Wake everybody in line: something has changed that may let one go ahead."""
        self._changed.set()
        self._changed = asyncio.Event()

    def ahead(self, place: Place) -> int:
        """Count who goes first: all before ``place``, but not those it may pass."""
        return len(self._before(place))

    def may_ask(self, place: Place) -> bool:
        """Tell whether it is this place's turn."""
        return len(self._starting) < self._places and self.ahead(place) == 0

    def seconds(self, place: Place) -> int:
        """Estimate how long it takes until ``place`` starts, from how long others took."""
        mean = sum(self._seconds) / len(self._seconds) if self._seconds else USUAL
        rounds = (self.ahead(place) + self.starting) // self._places
        return math.ceil(rounds * mean)

    def missing(self, place: Place) -> Missing | None:
        """Tell what ``place``, or the first that it may not pass, waits for."""
        for other in self._before(place):
            if other.missing is not None:
                return other.missing
        return place.missing

    async def wait(self) -> None:
        """Return when something has changed, and after ``PERIOD`` at the latest."""
        changed = self._changed
        try:
            await asyncio.wait_for(changed.wait(), PERIOD)
        except TimeoutError:
            return

    def admit(self, place: Place) -> None:
        """Let ``place`` start."""
        self._waiting.remove(place)
        self._starting.add(place)
        self.tell()

    def leave(self, place: Place, seconds: float | None) -> None:
        """Forget ``place``; ``seconds`` is how long its start took, if it succeeded."""
        if place in self._waiting:
            self._waiting.remove(place)
        self._starting.discard(place)
        if seconds is not None:
            self._seconds.append(seconds)
        self.tell()

    def _before(self, place: Place) -> list[Place]:
        """Return those before ``place`` that it may not pass."""
        before = self._waiting[: self._waiting.index(place)]
        if not place.gpus and any(other.missing is Missing.gpu for other in before):
            return [other for other in before if not other.gpus]
        return before


class Place:
    """One start's place in line."""

    def __init__(self, line: Line, ask: Ask, *, gpus: bool) -> None:
        self._line = line
        self._ask = ask
        self._began: float | None = None
        self.gpus = gpus
        """Whether it needs one."""
        self.missing: Missing | None = None
        """What it was told when it last asked."""

    async def turn(self) -> list[str]:
        """Wait for this place's turn and for what it needs; return the GPUs it got."""
        while True:
            if self._line.may_ask(self):
                answer = await self._ask()
                if not isinstance(answer, Missing):
                    break
                self._now_missing(answer)
            await self._line.wait()
        self.missing = None
        # While it asked, one that needs no GPU may have passed into the last place.
        while not self._line.may_ask(self):
            await self._line.wait()
        self._began = time.monotonic()
        self._line.admit(self)
        return answer

    def leave(self, *, succeeded: bool = False) -> None:
        """Give the place to the next; harmless when it was given before."""
        took = time.monotonic() - self._began if succeeded and self._began else None
        self._began = None
        self._line.leave(self, took)

    @property
    def words(self) -> str:
        """Say where in line this is, and for what it waits."""
        ahead = self._line.ahead(self)
        missing = self._line.missing(self)
        if missing is Missing.gpu and self.gpus:
            return f"Waiting for a GPU: {ahead or 'nobody'} before you"
        if missing is Missing.room:
            return f"{ordinal(ahead + 1)} in line for the next workspace that stops"
        about = self._line.seconds(self)
        when = f", about {about} s" if about else ""
        return f"{ordinal(ahead + 1)} in line{when}"

    def _now_missing(self, missing: Missing) -> None:
        if missing is not self.missing:
            self.missing = missing
            # Who need not wait for the same may pass now.
            self._line.tell()


def ordinal(number: int) -> str:
    """Write 1st, 2nd, 3rd, 4th, 11th."""
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"

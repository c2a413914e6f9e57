"""What a start has got to, for everybody who watches it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

#: The steps of a start as its page lists them, with how far along each is, in per cent.
STEPS = {"line": 5, "home": 20, "container": 40, "server": 60}


class News:
    """A start's events, in the form JupyterHub sends to the progress page."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self._changed = asyncio.Event()

    def begin(self) -> None:
        """Start anew; who watches already goes on watching."""
        self.events = []

    def say(self, step: str, message: str) -> None:
        """Tell that the start is at ``step``; nothing happens when that is no news."""
        event = {"progress": STEPS[step], "message": message, "step": step}
        if not self.events or self.events[-1] != event:
            self.events.append(event)
            self._changed.set()
            self._changed = asyncio.Event()

    @property
    def last(self) -> dict[str, Any] | None:
        """The latest event, for pages without JavaScript."""
        return self.events[-1] if self.events else None

    async def follow(self) -> AsyncIterator[dict[str, Any]]:
        """Yield what was said and what will be, for as long as anybody listens."""
        events, seen = self.events, 0
        while True:
            changed = self._changed
            if self.events is not events:
                events, seen = self.events, 0
            for event in events[seen:]:
                # A copy, because the Hub takes keys out of what it sends.
                yield dict(event)
                seen += 1
            if changed is self._changed:
                await changed.wait()

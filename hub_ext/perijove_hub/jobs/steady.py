"""Whether the database's clock goes on as clocks do, or somebody has set it.

Leases are by that clock. Set forward by an hour, it would make every worker look gone until it
renews; set back by an hour, one that is gone would look alive for as long.
"""

from __future__ import annotations

import time
from datetime import datetime


class Steady:
    """Compares a clock with this process's own, which nobody can set."""

    def __init__(self) -> None:
        self._offset: float | None = None

    def stepped(self, now: datetime, *, most: float) -> float:
        """Return by how many seconds the clock, ``now``, was set since the last ``keep``.

        Zero for less than ``most``, which is what answers may be late.
        """
        if self._offset is None:
            return 0.0
        by = self._of(now) - self._offset
        return by if abs(by) > most else 0.0

    def keep(self, now: datetime) -> None:
        """Take the clock as it is now for right."""
        self._offset = self._of(now)

    @staticmethod
    def _of(now: datetime) -> float:
        return now.timestamp() - time.monotonic()

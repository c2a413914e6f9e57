"""When a kernel last ran something: written by the kernel, read by the process beside it.

Sixteen bytes of shared memory, so that code which lets no other thread run hides nothing.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
import time
from typing import Any

_RECORD = struct.Struct("=qd")


class Activity:
    """How many cells run, and when the last one ended, on the machine's monotonic clock."""

    def __init__(self, descriptor: int) -> None:
        self._lock = threading.Lock()
        self._memory = mmap.mmap(descriptor, _RECORD.size)

    @classmethod
    def new(cls) -> tuple[Activity, int]:
        """Make one; return it and the descriptor by which a child finds it."""
        descriptor = os.memfd_create("perijove-activity")
        os.ftruncate(descriptor, _RECORD.size)
        found = cls(descriptor)
        found.touch()
        return found, descriptor

    def begin(self) -> None:
        """Note that something runs."""
        self._change(1)

    def end(self) -> None:
        """Note that it has ended."""
        self._change(-1)

    def touch(self) -> None:
        """Note a moment of use."""
        self._change(0)

    def report(self) -> dict[str, Any]:
        """Say whether it is busy, and else for how many seconds it has been idle."""
        running, last = _RECORD.unpack_from(self._memory)
        busy = running > 0
        return {"busy": busy, "idle_s": 0.0 if busy else max(0.0, time.monotonic() - last)}

    def _change(self, by: int) -> None:
        with self._lock:
            running, _ = _RECORD.unpack_from(self._memory)
            _RECORD.pack_into(self._memory, 0, running + by, time.monotonic())

"""How large a folder of somebody else's is, looked at with care and for a bounded time."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

#: Folders in folders that are looked into; each holds a descriptor open.
_DEPTH = 200


@dataclass
class Measured:
    """What was found."""

    bytes: int = 0
    """Of the disk: what a sparse file leaves out does not count, a hard link counts once."""
    complete: bool = True
    """False when time ran out or something was too deep: ``bytes`` is the least it can be."""
    folders: dict[str, int] = field(default_factory=dict)
    """Bytes below each entry of the folder itself."""

    def largest(self, count: int = 3) -> list[tuple[str, int]]:
        """Return the largest entries, largest first."""
        return sorted(self.folders.items(), key=lambda item: -item[1])[:count]


def home(path: Path, budget_s: float) -> Measured:
    """Measure the folder ``path`` for at most ``budget_s`` seconds.

    No link is followed and no other file system entered, whatever is swapped meanwhile: every
    folder is opened from its parent. A folder that is not there holds nothing.
    """
    found = Measured()
    walk = _Walk(found, time.monotonic() + budget_s)
    try:
        top = os.open(path, _FLAGS)
    except OSError:
        return found
    try:
        walk.device = os.fstat(top).st_dev
        with os.scandir(top) as entries:
            for entry in entries:
                before = found.bytes
                walk.look(top, entry.name, _DEPTH)
                found.folders[entry.name] = found.bytes - before
    except OSError:
        found.complete = False
    finally:
        os.close(top)
    return found


_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class _Walk:
    def __init__(self, found: Measured, deadline: float) -> None:
        self.device = 0
        self._found = found
        self._deadline = deadline
        self._linked: set[int] = set()

    def look(self, parent: int, name: str, depth: int) -> None:
        """Add what ``name`` in the open folder ``parent`` holds."""
        if depth == 0 or time.monotonic() > self._deadline:
            self._found.complete = False
            return
        # What vanishes while we look, or cannot be read, is not counted.
        with suppress(OSError):
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if status.st_dev != self.device or status.st_ino in self._linked:
                return
            folder = _is_folder(status.st_mode)
            if status.st_nlink > 1 and not folder:
                self._linked.add(status.st_ino)
            self._found.bytes += status.st_blocks * 512
            if folder:
                self._enter(parent, name, depth)

    def _enter(self, parent: int, name: str, depth: int) -> None:
        descriptor = os.open(name, _FLAGS, dir_fd=parent)
        try:
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    self.look(descriptor, entry.name, depth - 1)
        finally:
            os.close(descriptor)


def _is_folder(mode: int) -> bool:
    return mode & 0o170000 == 0o040000

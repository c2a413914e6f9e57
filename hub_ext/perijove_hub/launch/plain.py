"""Read and delete files that untrusted code may have put there, and read what it says."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

#: What ends a line early, moves a terminal's cursor, or is no character at all; a database may
#: refuse to store it.
_UNSHOWN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def text(said: object, most: int) -> str:
    """Return at most ``most`` characters of what untrusted code said, fit to store and show.

    Tabs and line feeds stay; every other control character, and half of a surrogate pair,
    becomes U+FFFD.
    """
    return _UNSHOWN.sub("\ufffd", str(said)[:most])


def read(path: Path, offset: int, limit: int) -> bytes | None:
    """Return at most ``limit`` bytes from ``offset``; ``None`` for what is no plain file.

    A link is not followed and a pipe not waited for. The folder must be one whose own name
    the untrusted code cannot change.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        file.seek(offset)
        return file.read(limit)


def delete(folder: Path) -> None:
    """Delete a folder with everything in it, as far as that can be done; follow no link."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except RecursionError:
        # Folders in folders in folders: Python calls itself for each, rm does not.
        subprocess.run(["rm", "-rf", "--", folder.absolute()], capture_output=True)

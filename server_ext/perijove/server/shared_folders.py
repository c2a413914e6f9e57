"""Let the file browser reach the shared folders, which lie outside of the home."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

SHARED = Path("/shared")
LINK = "shared"


def link(home: Path, shared: Path = SHARED) -> None:
    """Link ``shared`` into ``home``, where this container has it and the name is free."""
    if shared.is_dir() and not os.path.lexists(home / LINK):
        # A full or read-only home must not keep the server from starting.
        with suppress(OSError):
            (home / LINK).symlink_to(shared)

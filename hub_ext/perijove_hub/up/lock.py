"""One ``perijove up`` per data directory."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from perijove_hub.up.exceptions import StartError


@contextmanager
def sole_supervisor(path: Path) -> Iterator[None]:
    """Hold the lock while the block runs; the kernel frees it however the process ends.

    Raises ``StartError`` naming the process that holds it.
    """
    with path.open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise StartError(
                f"Perijove already runs on {path.parent.parent} (pid {file.read() or '?'}). "
                "Stop it with Ctrl-C there, or choose another --data-dir."
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield

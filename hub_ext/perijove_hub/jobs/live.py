"""What a running run has written so far, read through the launcher.

The notebook's own code can write these files too, so they are read as ``plain`` reads.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path

from perijove.runner.journal import KILLED
from perijove_hub.exceptions import Unavailable
from perijove_hub.jobs import scratch
from perijove_hub.jobs.names import workload_name
from perijove_hub.launch import Launcher, plain
from perijove_hub.store.models import RunRow

#: Notebooks made from journals at once, each in a process of its own; the others wait.
_ROOM = threading.BoundedSemaphore(2)
#: Seconds they wait.
PATIENCE = 30.0

GOES_ON = "[It is still running: this is what came so far.]\n"


def events(launcher: Launcher, run: RunRow, limit: int) -> bytes:
    """Return at most ``limit`` bytes of a run's events; none of them when it is not here."""
    folder = _folder(launcher, run)
    return (plain.read(folder / scratch.EVENTS, 0, limit) or b"") if folder else b""


def notebook(launcher: Launcher, run: RunRow) -> bytes | None:
    """Return a run's output notebook as it is now; ``None`` when there is none here yet."""
    folder = _folder(launcher, run)
    if folder is None:
        return None
    if not _ROOM.acquire(timeout=PATIENCE):
        raise Unavailable("Other notebooks are being read.", fix="Try again in a moment.")
    try:
        content = scratch.output(folder)
    finally:
        _ROOM.release()
    # A journal that is read takes its run for one that was killed.
    return content.replace(_inside(KILLED), _inside(GOES_ON)) if content else None


def _folder(launcher: Launcher, run: RunRow) -> Path | None:
    try:
        return launcher.directory(workload_name(run.id, run.attempt))
    except (KeyError, OSError, ValueError):
        # Not started yet, settled just now, or run by a worker with another data directory.
        return None


def _inside(text: str) -> bytes:
    """Write text as it stands within a string of JSON."""
    return json.dumps(text)[1:-1].encode("ascii")

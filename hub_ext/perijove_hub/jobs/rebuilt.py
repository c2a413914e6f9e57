"""Make the output notebook of a run that was killed from its journal, in a process of its own.

What the notebook's code wrote there may take any amount of memory to read. As a program it
writes the notebook of the folder that it is given to its standard output.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

from perijove.runner import journal
from perijove_hub.launch import plain

#: Most memory and time that it may take, bytes and seconds.
_MEMORY, _SECONDS = 2 * 2**30, 120


def output(folder: Path, most: int) -> bytes | None:
    """Return the notebook, ``None`` where there is none or it has more than ``most`` bytes."""
    if plain.read(folder / journal.NAME, 0, 1) is None:
        return None
    command = [sys.executable, "-m", "perijove_hub.jobs.rebuilt", str(folder), str(most)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        return None
    return done.stdout if done.returncode == 0 and 0 < len(done.stdout) <= most else None


def main(folder: str, most: str) -> int:
    """Do it; return the exit status."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    path = Path(folder) / journal.NAME
    notebook = journal.rebuild(lambda at, limit: plain.read(path, at, limit))
    sys.stdout.buffer.write((notebook or b"")[: int(most) + 1])
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

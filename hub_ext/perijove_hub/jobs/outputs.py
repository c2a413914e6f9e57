"""Files that a run left in ``outputs`` of its working directory, looked at with care.

Its notebook may have put anything there, and may have made any folder on the way a link. So
every folder is opened from its parent, no link is followed, and only plain files are taken.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BufferedIOBase
from pathlib import Path

from perijove.types.jobs import Artifact
from perijove_hub.jobs.scratch import OUTPUTS, WORK
from perijove_hub.launch import plain

#: Most files that are kept of one run.
MOST_FILES = 1000
#: Entries looked at, folders too; and folders in folders.
_SEEN, _DEPTH = 20_000, 50
#: Characters of a path that the database holds.
_PATH = 1024

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass
class Collected:
    """What was kept, and what was not, with the reason: the first path and how many more."""

    artifacts: list[Artifact] = field(default_factory=list)
    left_out: dict[str, tuple[str, int]] = field(default_factory=dict)

    def leave_out(self, path: str, why: str) -> None:
        """Note that a file is not kept."""
        first, count = self.left_out.get(why, (plain.text(path, 200), 0))
        self.left_out[why] = first, count + 1

    def notes(self) -> list[str]:
        """Say in sentences what was left out."""
        return [
            f"{count} of its files in outputs/ {'was' if count == 1 else 'were'} not kept: "
            f"{why} (first: {first})."
            for why, (first, count) in self.left_out.items()
        ]


def collect(
    folder: Path, put: Callable[[BufferedIOBase], str], *, most_mb: int, into: Collected
) -> None:
    """Store the files below ``work/outputs`` of a run's folder by ``put``, in order of names.

    At most ``MOST_FILES`` and ``most_mb`` MiB; smaller ones still fit after one that did not.
    Raises what ``put`` raises; ``into`` then has what was stored before.
    """
    found, room = into, most_mb * 2**20
    with contextlib.ExitStack() as stack:
        at = -1
        for name in (folder, WORK, OUTPUTS):
            try:
                at = os.open(name, _FOLDER, dir_fd=None if at < 0 else at)
            except OSError:
                return
            stack.callback(os.close, at)
        for path, file in _files(at):
            if file is None or not stat.S_ISREG((status := os.fstat(file.fileno())).st_mode):
                found.leave_out(path, "links, folders too deep and what is no plain file are not")
            elif len(path) > _PATH or plain.text(path, _PATH) != path:
                found.leave_out(path, "their names cannot be shown")
            elif len(found.artifacts) >= MOST_FILES:
                found.leave_out(path, f"a run keeps {MOST_FILES}")
            elif status.st_size > room:
                found.leave_out(path, f"they take more than {most_mb} MiB")
            else:
                room -= status.st_size
                address = put(file)
                found.artifacts.append(Artifact(path=path, sha256=address, bytes=status.st_size))


def _files(top: int) -> Iterator[tuple[str, BufferedIOBase | None]]:
    """Yield the files below an open folder, open; ``None`` for what cannot be opened as one."""
    seen = iter(range(_SEEN))
    yield from _below(top, "", seen, _DEPTH)


def _below(
    parent: int, prefix: str, seen: Iterator[int], depth: int
) -> Iterator[tuple[str, BufferedIOBase | None]]:
    with os.scandir(parent) as entries:
        names = sorted(entry.name for entry, _ in zip(entries, seen, strict=False))
    for name in names:
        path = prefix + name
        try:
            is_folder = stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
            descriptor = os.open(name, _FOLDER if is_folder else _FILE, dir_fd=parent)
        except OSError:
            yield path, None
            continue
        if not is_folder:
            with os.fdopen(descriptor, "rb") as file:
                yield path, file
            continue
        try:
            if depth:
                yield from _below(descriptor, f"{path}/", seen, depth - 1)
            else:
                yield path, None
        finally:
            os.close(descriptor)

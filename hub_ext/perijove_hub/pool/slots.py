"""Slots: the folders of waiting containers, into which a claim mounts a user's own.

A slot has three, each seen in its container: ``home`` at the home, ``shared`` at ``/shared``, and
``door`` with the pipe by which the claim goes in. All belong to root and are read-only inside:
until a home is mounted there is nothing in a slot that a container could write to. They lie
under a shared mount, and what is mounted on them later appears in the container as well.

Nothing here deletes recursively: a slot is its known empty folders, and a folder that still is
a mount point or holds a file refuses to go.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from perijove_hub.engine.sandbox import HOME, Mount
from perijove_hub.pool import mounting

#: Where a container sees what others share.
SHARED = "/shared"
#: Where a container sees its slot's pipe.
DOOR = "/run/perijove"
_PIPE = "claim"


class Slots:
    """The slots of one data directory."""

    def __init__(self, root: Path) -> None:
        # As the kernel's list of mounts names it.
        root = root.resolve()
        self._root = root
        # Beside it: a stage within would pass its mounts on.
        self._stages = root.with_name(f"{root.name}-stage")

    def names(self) -> set[str]:
        """Return the slots there are."""
        return {path.name for path in self._root.iterdir()} if self._root.is_dir() else set()

    def open(self) -> None:
        """Make the folder of the slots a shared mount. Raises ``OSError`` for who may not."""
        self._root.mkdir(exist_ok=True, mode=0o700)
        mounting.share(self._root)

    def close(self) -> None:
        """Undo ``open`` when no slot is left."""
        if not self.names() and mounting.is_shared(self._root):
            mounting.unmount(self._root)

    def make(self) -> str:
        """Make an empty slot and return its name."""
        name = secrets.token_hex(8)
        slot = self._root / name
        slot.mkdir(mode=0o700)
        for folder in ("home", "shared", "door"):
            (slot / folder).mkdir(mode=0o755)
        # Who is in the container reads the pipe and cannot write to it.
        os.mkfifo(self._pipe(name), 0o644)
        self._pipe(name).chmod(0o644)
        return name

    def mounts(self, name: str) -> list[Mount]:
        """Return how a container sees the slot."""
        slot = self._root / name
        return [
            Mount(str(slot / "home"), HOME, propagation="rslave"),
            Mount(str(slot / "shared"), SHARED, read_only=True, propagation="rslave"),
            Mount(str(slot / "door"), DOOR, read_only=True),
        ]

    def fill(self, name: str, mounts: Iterable[Mount]) -> None:
        """Mount a user's folders: ``mounts`` has targets as ``fits`` wants them.

        Raises ``OSError``; what was mounted by then is mounted.
        """
        self._stages.mkdir(exist_ok=True, mode=0o700)
        for mount in sorted(mounts, key=lambda mount: mount.target != HOME):
            target = self._target(name, mount)
            if mount.target != HOME:
                target.mkdir(mode=0o755)
            stage = self._stages / secrets.token_hex(8)
            stage.mkdir(mode=0o700)
            try:
                mounting.bind(Path(mount.source), target, read_only=mount.read_only, stage=stage)
            finally:
                stage.rmdir()

    def listens(self, name: str) -> bool:
        """Tell whether a process waits at the slot's pipe. It notices, and waits again."""
        try:
            os.close(self._open_pipe(name))
        except OSError:
            return False
        return True

    def send(self, name: str, message: bytes) -> None:
        """Pass ``message`` in, and remove the pipe. Raises ``OSError`` when nobody waits."""
        descriptor = self._open_pipe(name)
        try:
            os.set_blocking(descriptor, True)
            with os.fdopen(os.dup(descriptor), "wb") as pipe:
                pipe.write(message)
        finally:
            os.close(descriptor)
            self._pipe(name).unlink()

    def was_sent(self, name: str) -> bool:
        """Tell whether the claim of this slot has gone in."""
        return not os.path.lexists(self._pipe(name))

    def remove(self, name: str) -> None:
        """Unmount what is mounted in the slot and remove it; the user's folders stay.

        Raises ``OSError`` when something in it is not the slot's own.
        """
        slot = self._root / name
        if not slot.is_dir():
            return
        for point in mounting.mounted_below(slot):
            mounting.unmount(point)
        with contextlib.suppress(FileNotFoundError):
            self._pipe(name).unlink()
        with contextlib.suppress(FileNotFoundError):
            for shared in (slot / "shared").iterdir():
                shared.rmdir()
        for folder in ("home", "shared", "door"):
            with contextlib.suppress(FileNotFoundError):
                (slot / folder).rmdir()
        slot.rmdir()

    def _pipe(self, name: str) -> Path:
        return self._root / name / "door" / _PIPE

    def _open_pipe(self, name: str) -> int:
        return os.open(self._pipe(name), os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW)

    def _target(self, name: str, mount: Mount) -> Path:
        if mount.target == HOME:
            return self._root / name / "home"
        return self._root / name / "shared" / Path(mount.target).name


def fits(mounts: Iterable[Mount]) -> bool:
    """Tell whether a slot can take ``mounts``: folders of this host, at the home and shared."""
    return all(
        Path(mount.source).is_absolute()
        and (mount.target == HOME or str(Path(mount.target).parent) == SHARED)
        and Path(mount.target).name not in (".", "..")
        for mount in mounts
    )

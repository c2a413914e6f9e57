"""Mounts of the host, by the kernel's own calls: what the pool needs of ``mount(8)``."""

from __future__ import annotations

import ctypes
import os
import re
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)

_READ_ONLY, _NO_SETUID, _NO_DEVICES, _REMOUNT = 0x1, 0x2, 0x4, 0x20
_BIND, _PRIVATE, _SHARED = 0x1000, 0x40000, 0x100000
#: Take it away from the tree at once, and let go of it when nobody uses it any more.
_DETACH = 0x2
#: Do not follow a symbolic link at the end of the path.
_NO_FOLLOW = 0x8


def mounted_below(folder: Path) -> list[Path]:
    """Return the mount points at and below ``folder``, the deepest first."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        # Spaces and the like are written as octal numbers.
        point = re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), line.split(" ")[4])
        if Path(point).is_relative_to(folder):
            found.append(Path(point))
    return sorted(found, key=lambda path: len(path.parts), reverse=True)


def is_shared(folder: Path) -> bool:
    """Tell whether ``folder`` is a mount point that passes its mounts on."""
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        fields = line.split(" ")
        if fields[4] == str(folder):
            return any(field.startswith("shared:") for field in fields[6 : fields.index("-")])
    return False


def share(folder: Path) -> None:
    """Make ``folder`` a mount point that passes its mounts on, to nobody but its own copies."""
    if not is_shared(folder):
        _mount(folder, folder, _BIND)
        # Private first: where all of / is shared, it would tell the copies of / as well.
        _mount(None, folder, _PRIVATE)
        _mount(None, folder, _SHARED)


def bind(source: Path, target: Path, *, read_only: bool, stage: Path) -> None:
    """Let ``target`` show ``source``, without devices and setuid programs.

    ``stage`` is an empty folder that is not passed on: the flags are set there first, because
    those that are set after a mount was passed on stay behind. Raises ``OSError``.
    """
    _mount(source, stage, _BIND)
    try:
        _mount(None, stage, _PRIVATE)
        flags = _BIND | _REMOUNT | _NO_SETUID | _NO_DEVICES
        _mount(None, stage, flags | (_READ_ONLY if read_only else 0))
        _mount(stage, target, _BIND)
    finally:
        unmount(stage)


def unmount(point: Path) -> None:
    """Take the mount at ``point`` away; raises ``OSError`` where there is none."""
    if _libc.umount2(os.fsencode(point), _DETACH | _NO_FOLLOW) != 0:
        _fail(point)


def _mount(source: Path | None, target: Path, flags: int) -> None:
    from_ = None if source is None else os.fsencode(source)
    if _libc.mount(from_, os.fsencode(target), None, ctypes.c_ulong(flags), None) != 0:
        _fail(target)


def _fail(path: Path) -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number), str(path))

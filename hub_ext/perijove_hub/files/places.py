"""Where the settings say files are: a folder of the host, an NFS export, a volume."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Folder:
    """A folder of the host."""

    path: Path


@dataclass(frozen=True)
class Nfs:
    """A folder that an NFS server exports."""

    server: str
    path: str
    """Absolute, without a slash at the end."""


@dataclass(frozen=True)
class Volume:
    """A volume of the Docker engine."""

    name: str


Place = Folder | Nfs | Volume

#: What an engine takes as a volume's name.
_VOLUME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{1,127}")
#: A host name, an IPv4 address, or an IPv6 address in brackets. A comma would start another
#: mount option.
_NFS = re.compile(r"nfs://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(/[^\0,\n]*)")


def shared(text: str) -> Place:
    """Read ``/FOLDER``, ``nfs://SERVER/PATH`` or ``volume:NAME``; raises ``ValueError``."""
    if text.startswith("volume:"):
        name = text.removeprefix("volume:")
        if not _VOLUME.fullmatch(name):
            raise ValueError(f"'{name}' cannot be a volume's name")
        return Volume(name)
    try:
        return homes(text)
    except ValueError as error:
        raise ValueError(f"{error}, or volume:NAME") from None


def homes(text: str) -> Folder | Nfs:
    """Read ``/FOLDER`` or ``nfs://SERVER/PATH``; raises ``ValueError``.

    Homes are a folder each, which a volume of the engine does not give.
    """
    if found := _NFS.fullmatch(text):
        path = found[2].rstrip("/") or "/"
        if ".." in path.split("/"):
            raise ValueError(f"'{text}' has '..' in it: write the folder itself")
        return Nfs(found[1].strip("[]"), path)
    if Path(text).is_absolute() and "\0" not in text and ".." not in Path(text).parts:
        return Folder(Path(text))
    raise ValueError(
        f"'{text}' is no place for files: write a folder as /FOLDER, or nfs://SERVER/PATH"
    )

"""POSIX access lists as the kernel takes them, without the package ``acl``."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from perijove_hub.files.exceptions import FilesError

_DEFAULT = "system.posix_acl_default"
_VERSION = 2
_OWNER, _GROUP, _OTHER = 0x01, 0x04, 0x20
_NOBODY = 0xFFFFFFFF


def share_with_group(folder: Path) -> None:
    """Let owner and group do everything with what is made in ``folder``, and others nothing.

    The umask of whoever makes it no longer counts: that is what a default list is for.
    Raises ``FilesError`` where the file system has no such lists.
    """
    entries = ((_OWNER, 7), (_GROUP, 7), (_OTHER, 0))
    packed = struct.pack("<I", _VERSION) + b"".join(
        struct.pack("<HHI", tag, rights, _NOBODY) for tag, rights in entries
    )
    try:
        os.setxattr(folder, _DEFAULT, packed)
    except OSError as error:
        raise FilesError(
            f"the file system of {folder} has no POSIX access lists ({error.strerror}), which "
            "people who share files need. Mount it with the option acl, or choose another place."
        ) from None

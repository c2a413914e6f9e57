"""Write a copy into a folder without ever touching what is there."""

from __future__ import annotations

import os
import secrets
from itertools import count
from pathlib import Path

from perijove.exceptions import PerijoveError

#: Where taken notebooks go, in the home.
FOLDER = "Shared with me"
#: Copies of one name in one folder.
_MOST = 1000


def own_folder(home: Path) -> Path:
    """Return ``Shared with me`` in ``home``; raises ``PerijoveError`` if it leads out of it."""
    folder = home / FOLDER
    # Not resolve(), which raises for a link to itself.
    real = Path(os.path.realpath(folder))
    if not real.is_relative_to(os.path.realpath(home)):
        raise PerijoveError(
            f"'{FOLDER}' leads out of your home, to {real}. Remove that link, or name "
            "a folder yourself: `perijove shares take ID --folder FOLDER`."
        )
    return folder


def write(folder: Path, name: str, content: bytes) -> Path:
    """Write ``content`` to ``name`` in ``folder``, or to ``NAME-1``, ``NAME-2``, … if taken.

    The file appears whole or not at all. Returns its path; raises ``PerijoveError`` for a name
    that is not one file's own, and ``OSError``.
    """
    if Path(name).name != name or name in ("", "..") or "\0" in name:
        raise PerijoveError(f"'{name}' is no file's name.")
    folder.mkdir(exist_ok=True)
    stem, suffix = Path(name).stem, Path(name).suffix
    partial = folder / f".{secrets.token_hex(8)}.part"
    partial.write_bytes(content)
    try:
        for number in count():
            target = folder / (f"{stem}-{number}{suffix}" if number else name)
            try:
                # A link, unlike a rename, fails where something is, even a broken link.
                os.link(partial, target)
            except FileExistsError:
                if number < _MOST:
                    continue
                raise PerijoveError(f"There are {_MOST} copies of {name} already.") from None
            return target
        raise AssertionError("count() ends")
    finally:
        partial.unlink()

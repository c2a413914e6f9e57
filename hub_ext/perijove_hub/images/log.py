"""A build's log while it runs: a file per step, read as one text by byte offsets.

A step's file is written anew when another worker takes the build over, from what the engine
kept of the step's output; the bytes before it stay where they were.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote

from perijove_hub.context import Context
from perijove_hub.launch import plain

#: Most bytes of a build's log; a build that prints more is ended.
MAX_LOG = 20 * 2**20

_USERINFO = re.compile(r"://([^/\s@]+)@")


class BuildLog:
    """Writes the log of one build under ``folder``."""

    def __init__(self, folder: Path, hidden: Iterable[str] = ()) -> None:
        self._folder = folder
        # Longest first, so that a password is not cut out of what holds it.
        self._hidden = sorted({text for text in hidden if text}, key=len, reverse=True)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def begin(self, number: int, heading: str) -> None:
        """Start the file of step ``number`` anew, with a heading."""
        content = f"== {heading}\n".encode("utf-8", errors="replace")
        self._file(number).write_bytes(content)

    def add(self, number: int, text: bytes) -> None:
        """Append what step ``number`` printed, as text without secrets.

        Without control characters too: the log is shown in terminals, and its last lines are
        stored in the database.
        """
        shown = text.decode("utf-8", errors="replace").replace("\r\n", "\n").replace("\r", "\n")
        shown = plain.text(shown, len(shown))
        for hidden in self._hidden:
            shown = shown.replace(hidden, "****")
        with self._file(number).open("ab") as file:
            file.write(shown.encode())

    def size(self) -> int:
        """Return the bytes there are."""
        return sum(file.stat().st_size for file in _files(self._folder))

    def last_lines(self, number: int, most: int = 5) -> str:
        """Return the last lines of step ``number`` that are not blank, without its heading."""
        text = self._file(number).read_bytes()[-8192:].decode("utf-8", errors="replace")
        lines = [line.rstrip() for line in text.splitlines() if line.strip()]
        return "\n".join(line[:300] for line in lines[-most:] if not line.startswith("== "))

    def _file(self, number: int) -> Path:
        return self._folder / f"{number:03d}.log"


def folder_of(context: Context, build_id: str) -> Path:
    """Return where the log of a build is that runs."""
    return context.data.root / "builds" / build_id


def read(folder: Path, offset: int, limit: int) -> bytes:
    """Return at most ``limit`` bytes of a build's log from byte ``offset``; of all its steps."""
    pieces, left = [], limit
    for file in _files(folder):
        try:
            size = file.stat().st_size
            if offset < size:
                with file.open("rb") as source:
                    source.seek(offset)
                    piece = source.read(left)
                pieces.append(piece)
                left -= len(piece)
        except FileNotFoundError:
            # The build ended at this moment: its log is in the blob store now.
            break
        offset = max(0, offset - size)
        if left <= 0:
            break
    return b"".join(pieces)


def secrets_in(text: str) -> set[str]:
    """Return the credentials in the addresses of a pip.conf or sources.list."""
    found: set[str] = set()
    for userinfo in _USERINFO.findall(text):
        _, _, password = userinfo.partition(":")
        found |= {userinfo, unquote(userinfo)}
        if password:
            found |= {password, unquote(password)}
    return found


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9][0-9][0-9].log"))

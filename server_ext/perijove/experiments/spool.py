"""What a run logged, on disk before it is anywhere else.

A folder for each run in ``~/.perijove-spool``: ``log.jsonl`` that only grows, ``state.json`` that
says how much of it MLflow has, and ``files``. The kernel that writes holds a lock on the log, so
a folder without one was left by a kernel that died, and the next kernel sends it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

#: Where spools lie, instead of the home folder.
PLACE = "PERIJOVE_SPOOL"

Record = dict[str, Any]


@dataclass
class State:
    """What MLflow knows of a run."""

    sent: int = 0
    """Bytes of the log that were acknowledged."""
    tried: bool = False
    """A create was sent, whatever became of it."""
    run_id: str = ""
    run_name: str = ""
    experiment_id: str = ""
    artifact_uri: str = ""


class Spool:
    """One run's log; ``append`` may be called from any thread and costs microseconds."""

    def __init__(self, folder: Path, descriptor: int) -> None:
        self.folder = folder
        self._descriptor = descriptor
        self.state = _load(folder / "state.json")

    @classmethod
    def create(cls, begin: Record) -> Spool:
        """Start the log of a new run with its first record."""
        folder = _place() / f"{begin['time']}-{secrets.token_hex(4)}"
        folder.mkdir(parents=True, mode=0o700)
        spool = cls(folder, _open(folder, create=True))
        fcntl.flock(spool._descriptor, fcntl.LOCK_EX)
        spool.append(begin)
        return spool

    @classmethod
    def left_behind(cls) -> list[Spool]:
        """Take over the logs of kernels that are gone, oldest first."""
        found = []
        with contextlib.suppress(OSError):
            for folder in sorted(_place().iterdir()):
                with contextlib.suppress(OSError):
                    descriptor = _open(folder, create=False)
                    try:
                        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except OSError:
                        os.close(descriptor)
                        continue
                    found.append(cls(folder, descriptor))
        return found

    def append(self, record: Record) -> None:
        """Add one record. Raises ``OSError`` when the disk does not take it."""
        os.write(self._descriptor, json.dumps(record).encode() + b"\n")

    def keep(self, source: Path) -> str:
        """Copy a file as it is now; returns its name among the log's files."""
        name = secrets.token_hex(8)
        files = self.folder / "files"
        files.mkdir(exist_ok=True)
        shutil.copyfile(source, files / name)
        return name

    def kept(self, name: str) -> Path:
        """Return where the file ``keep`` named lies."""
        return self.folder / "files" / name

    def waiting(self) -> list[tuple[Record, int]]:
        """Return what MLflow does not have yet, each record with the offset after it."""
        with (self.folder / "log.jsonl").open("rb") as log:
            log.seek(self.state.sent)
            content = log.read()
        records, offset = [], self.state.sent
        for line in content.splitlines(keepends=True):
            if not line.endswith(b"\n"):
                # The kernel died in the middle of a word.
                break
            offset += len(line)
            with contextlib.suppress(ValueError):
                records.append((json.loads(line), offset))
        return records

    def finish(self) -> None:
        """End the log of a kernel that died in the middle of its run, or of a word."""
        log = self.folder / "log.jsonl"
        # A kernel's last word is about when it died.
        died = int(log.stat().st_mtime * 1000)
        content = log.read_bytes()
        if content and not content.endswith(b"\n"):
            os.write(self._descriptor, b"\n")
        with contextlib.suppress(ValueError, IndexError):
            if json.loads(content.splitlines()[-1])["op"] == "end":
                return
        self.append({"op": "end", "status": "KILLED", "time": died})

    def save(self) -> None:
        """Write down what MLflow knows, in one step."""
        partial = self.folder / "state.part"
        partial.write_text(json.dumps(asdict(self.state)), encoding="utf-8")
        partial.replace(self.folder / "state.json")

    def remove(self) -> None:
        """Forget the run: MLflow has all of it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.close()

    def put_aside(self) -> None:
        """Keep a log that MLflow will never take, where nobody sends it again."""
        with contextlib.suppress(OSError):
            (self.folder / "log.jsonl").rename(self.folder / "refused.jsonl")
        self.close()

    def close(self) -> None:
        """Let go of the log."""
        with contextlib.suppress(OSError):
            os.close(self._descriptor)


def _place() -> Path:
    named = os.environ.get(PLACE)
    place = Path(named) if named else Path.home() / ".perijove-spool"
    try:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        # A home that cannot be written: better here than nowhere.
        place = Path(tempfile.gettempdir()) / f"perijove-spool-{os.getuid()}"
        place.mkdir(exist_ok=True, mode=0o700)
    return place


def _open(folder: Path, *, create: bool) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if create else 0)
    return os.open(folder / "log.jsonl", flags, 0o600)


def _load(path: Path) -> State:
    try:
        return State(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return State()

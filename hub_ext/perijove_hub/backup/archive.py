"""The archive: one tar of parts, and at its end a manifest with the digest of each.

A part is a file, such as a database, or a folder, which is a tar of its own: it is written and
unpacked by GNU tar, which follows nobody's symbolic links, bears folders of any depth and files
that change meanwhile, and keeps numbers of owners.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from perijove_hub.backup.exceptions import BackupError

MANIFEST = "manifest.json"
#: Grows when an older `perijove restore` could not read the archive.
FORMAT = 1
_CHUNK = 2**20
#: What GNU tar exits with when a file changed or vanished while it was read.
_CHANGED = 1
#: Owners by number, because the names are those of another machine; holes stay holes.
_KEEP = ("--numeric-owner", "--sparse", "--acls", "--xattrs")


class Writer:
    """Adds parts to an archive."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._parts: dict[str, dict[str, Any]] = {}

    def add_file(self, name: str, path: Path) -> None:
        """Add a file as the part ``name``."""
        with self._part(name, kind="file") as put, path.open("rb") as source:
            while chunk := source.read(_CHUNK):
                put(chunk)

    def add_folder(self, name: str, path: Path, *, leave_out: Sequence[str] = ()) -> None:
        """Add what is in a folder as the part ``name``, without names like ``leave_out``."""
        # Owner, mode and time of the folder itself belong to it, so "." and not "*".
        command = ["tar", "--create", "--file=-", "--warning=none", *_KEEP, f"--directory={path}"]
        command += [*(f"--exclude={pattern}" for pattern in leave_out), "."]
        with self._part(name, kind="folder") as put, _tar(command, stdout=subprocess.PIPE) as tar:
            assert tar.stdout is not None  # noqa: S101 - asked for
            while chunk := tar.stdout.read(_CHUNK):
                put(chunk)

    def finish(self, about: dict[str, Any]) -> None:
        """Write the manifest: without one an archive counts as damaged."""
        manifest = {"format": FORMAT, **about, "parts": self._parts}
        content = json.dumps(manifest, indent=2).encode()
        header = tarfile.TarInfo(MANIFEST)
        header.size, header.mode = len(content), 0o600
        self._file.write(header.tobuf(tarfile.GNU_FORMAT) + content + _padding(len(content)))
        self._file.write(b"\0" * 1024)

    @contextmanager
    def _part(self, name: str, *, kind: str) -> Iterator[Any]:
        """Write one member whose size is known only when it is written."""
        header = tarfile.TarInfo(name)
        header.mode = 0o600
        begin = self._file.tell()
        self._file.write(header.tobuf(tarfile.GNU_FORMAT))
        digest = hashlib.sha256()

        def put(chunk: bytes) -> None:
            digest.update(chunk)
            self._file.write(chunk)
            header.size += len(chunk)

        yield put
        self._file.write(_padding(header.size))
        end = self._file.tell()
        self._file.seek(begin)
        self._file.write(header.tobuf(tarfile.GNU_FORMAT))
        self._file.seek(end)
        self._parts[name] = {"kind": kind, "bytes": header.size, "sha256": digest.hexdigest()}


class Reader:
    """An archive that was checked: its manifest is there and every part is whole."""

    def __init__(self, path: Path) -> None:
        """Read the whole archive once. Raises ``BackupError``."""
        self._path = path
        self.manifest: dict[str, Any] = {}
        found: dict[str, tuple[int, str]] = {}
        try:
            with tarfile.open(path, "r:") as tar:
                for member in tar:
                    source = tar.extractfile(member)
                    if source is None:
                        raise _damaged(path, f"'{member.name}' is no file")
                    if member.name == MANIFEST:
                        self.manifest = json.loads(source.read())
                    else:
                        digest = hashlib.file_digest(source, "sha256")  # type: ignore[arg-type]
                        found[member.name] = (member.size, digest.hexdigest())
        except OSError as error:
            raise BackupError(f"{path} cannot be read ({error.strerror or error}).") from None
        except (tarfile.TarError, EOFError, ValueError) as error:
            raise _damaged(path, str(error)) from None
        self._check(found)

    def _check(self, found: dict[str, tuple[int, str]]) -> None:
        if "parts" not in self.manifest:
            raise _damaged(self._path, "it has no manifest, so it was not written to its end")
        if self.manifest.get("format") != FORMAT:
            raise BackupError(
                f"{self._path} has format {self.manifest.get('format')} and this Perijove reads "
                f"format {FORMAT}: a newer one made it. Install that version."
            )
        expected = {
            name: (part["bytes"], part["sha256"]) for name, part in self.manifest["parts"].items()
        }
        wrong = sorted(
            name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)
        )
        if wrong:
            raise _damaged(self._path, f"'{wrong[0]}' is not what was saved")

    def __contains__(self, name: str) -> bool:
        return name in self.manifest["parts"]

    def unpack(self, name: str, target: Path) -> None:
        """Write the part ``name`` to ``target``: the file, or what was in the folder."""
        with tarfile.open(self._path, "r:") as tar:
            source = tar.extractfile(name)
            assert source is not None  # noqa: S101 - the manifest names files
            if self.manifest["parts"][name]["kind"] == "file":
                descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    shutil.copyfileobj(source, file, _CHUNK)
                return
            target.mkdir(mode=0o700)
            command = ["tar", "--extract", "--file=-", "--warning=none", *_KEEP]
            command += ["--preserve-permissions", f"--directory={target}"]
            with _tar(command, stdin=subprocess.PIPE) as process:
                assert process.stdin is not None  # noqa: S101 - asked for
                shutil.copyfileobj(source, process.stdin, _CHUNK)
                process.stdin.close()


@contextmanager
def _tar(command: list[str], **pipes: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run tar while the block feeds or reads it. Raises ``BackupError`` when it fails."""
    try:
        process = subprocess.Popen(command, stderr=subprocess.PIPE, **pipes)  # type: ignore[call-overload]
    except FileNotFoundError:
        raise BackupError("'tar' is not here: install GNU tar.") from None
    with process:
        try:
            yield process
        except BrokenPipeError:
            # It says itself why it ended.
            pass
        except BaseException:
            process.kill()
            raise
        said = process.stderr.read() if process.stderr else b""
        allowed = (0, _CHANGED) if "--create" in command else (0,)
        if process.wait() not in allowed:
            lines = said.decode(errors="replace").strip().splitlines() or ["no reason given"]
            raise BackupError(f"tar failed: {lines[0]}")


def _padding(size: int) -> bytes:
    return b"\0" * (-size % 512)


def _damaged(path: Path, why: str) -> BackupError:
    return BackupError(f"{path} is damaged ({why}). Nothing was restored; take another backup.")

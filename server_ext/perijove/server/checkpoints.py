"""Checkpoints in the user's own home, wherever the file lies.

Jupyter's own lie in ``.ipynb_checkpoints`` beside the file: in a folder that several people
share they overwrite each other's, and where one only reads there is no place for them.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from anyio.to_thread import run_sync
from jupyter_server.services.contents.checkpoints import AsyncCheckpoints
from jupyter_server.services.contents.fileio import atomic_writing
from tornado.web import HTTPError
from traitlets import Unicode

T = TypeVar("T")

#: The one checkpoint of a file, as Jupyter's own manager has it.
CHECKPOINT = "checkpoint"
_PATH = "path"


class HomeCheckpoints(AsyncCheckpoints):  # type: ignore[misc]
    """One checkpoint per file, in a folder named by a digest of the file's place.

    Beside each lies the path it belongs to, so that the checkpoints of a folder's files follow
    when the folder is renamed.
    """

    folder = Unicode(help="Where checkpoints are kept").tag(config=True)

    #: A folder that holds only this, left by Jupyter's own, counts as empty when it is deleted.
    checkpoint_dir = ".ipynb_checkpoints"

    def _folder_default(self) -> str:
        data = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
        return str(Path(data) / "perijove" / "checkpoints")

    async def create_checkpoint(self, contents_mgr: Any, path: str) -> dict[str, Any]:
        """Keep the file as it is now, instead of what was kept before."""
        source = Path(contents_mgr._get_os_path(path))
        return await run_sync(self._create, source, path)

    async def restore_checkpoint(self, contents_mgr: Any, checkpoint_id: Any, path: str) -> None:
        """Write what was kept into the file, which keeps its owner, rights and links."""
        kept = self._kept(checkpoint_id, path)
        target = contents_mgr._get_os_path(path)
        await run_sync(self._restore, kept, target)

    async def list_checkpoints(self, path: str) -> list[dict[str, Any]]:
        """Return what is kept of the file: one checkpoint or none."""
        kept = self._place(path) / CHECKPOINT
        if not await run_sync(kept.is_file):
            return []
        return [await run_sync(_model, kept)]

    async def delete_checkpoint(self, checkpoint_id: Any, path: str) -> None:
        """Forget a checkpoint."""
        kept = self._kept(checkpoint_id, path)
        await run_sync(shutil.rmtree, kept.parent)

    async def rename_checkpoint(self, checkpoint_id: Any, old_path: str, new_path: str) -> None:
        """Let a checkpoint follow its file."""
        self._kept(checkpoint_id, old_path)
        await run_sync(self._move, old_path, new_path)

    async def rename_all_checkpoints(self, old_path: str, new_path: str) -> None:
        """Let checkpoints follow a file, or all the files in a folder."""
        for path in await run_sync(self._under, old_path):
            await run_sync(self._move, path, _clean(new_path) + path[len(_clean(old_path)) :])

    async def delete_all_checkpoints(self, path: str) -> None:
        """Forget what is kept of a file, or of all the files in a folder."""
        for one in await run_sync(self._under, path):
            await run_sync(shutil.rmtree, self._place(one), True)

    def _place(self, path: str) -> Path:
        """Return the folder for one file's checkpoint; the file is told by its whole path."""
        root = str(getattr(self.parent, "root_dir", ""))
        digest = hashlib.sha256(f"{root}\0{_clean(path)}".encode()).hexdigest()
        return Path(self.folder) / digest

    def _kept(self, checkpoint_id: Any, path: str) -> Path:
        """Return the file of a checkpoint, named by its id or its model; 404 without one."""
        wanted = checkpoint_id["id"] if isinstance(checkpoint_id, dict) else checkpoint_id
        kept = self._place(path) / CHECKPOINT
        if wanted != CHECKPOINT or not kept.is_file():
            raise HTTPError(404, f"There is no checkpoint '{wanted}' of {path}.")
        return kept

    def _create(self, source: Path, path: str) -> dict[str, Any]:
        place = self._place(path)
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = place / f".{secrets.token_hex(8)}"
        try:
            # The content alone: another's rights on a shared file are not ours to copy.
            shutil.copyfile(source, partial)
            (place / _PATH).write_text(_clean(path), encoding="utf-8", errors="surrogateescape")
            partial.replace(place / CHECKPOINT)
        except FileNotFoundError:
            raise HTTPError(404, f"There is no file {path}.") from None
        except IsADirectoryError:
            raise HTTPError(400, f"{path} is a folder: only files have checkpoints.") from None
        except PermissionError:
            raise HTTPError(403, f"{path} cannot be read.") from None
        finally:
            partial.unlink(missing_ok=True)
            if not (place / CHECKPOINT).exists():
                shutil.rmtree(place, ignore_errors=True)
        return _model(place / CHECKPOINT)

    def _restore(self, kept: Path, target: str) -> None:
        try:
            with atomic_writing(target, text=False, log=self.log) as file:
                file.write(kept.read_bytes())
        except PermissionError:
            raise HTTPError(403, f"{target} cannot be written.") from None

    def _move(self, old_path: str, new_path: str) -> None:
        old, new = self._place(old_path), self._place(new_path)
        if not (old / CHECKPOINT).is_file() or old == new:
            return
        # What lay at the new path before was another file.
        shutil.rmtree(new, ignore_errors=True)
        old.rename(new)
        (new / _PATH).write_text(_clean(new_path), encoding="utf-8", errors="surrogateescape")

    def _under(self, path: str) -> list[str]:
        """Return the paths with checkpoints that are ``path`` or lie in it."""
        path = _clean(path)
        if (self._place(path) / CHECKPOINT).is_file():
            return [path]
        found = []
        for note in Path(self.folder).glob(f"*/{_PATH}"):
            one = note.read_text(encoding="utf-8", errors="surrogateescape")
            # A note of another root folder is in a place that this one's digest does not give.
            if one.startswith(f"{path}/") and self._place(one) == note.parent:
                found.append(one)
        return found


def _clean(path: str) -> str:
    return path.strip("/")


def _model(kept: Path) -> dict[str, Any]:
    at = datetime.fromtimestamp(kept.stat().st_mtime, UTC)
    return {"id": CHECKPOINT, "last_modified": at}

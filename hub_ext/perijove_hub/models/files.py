"""Models' files on this machine: downloaded once for each generation, whole or not at all."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from perijove_hub.exceptions import ProblemError, Unavailable
from perijove_hub.models.registry import Registry

log = logging.getLogger(__name__)

#: Seconds before a download that MLflow did not answer is tried again.
PAUSE = 5.0

_PARTIAL = ".part-"


class CannotFetch(Exception):
    """The files cannot be had, and trying again would not change that."""


class ModelFiles:
    """Folders ``<deployment id>-<generation>`` under ``root``.

    A download runs in a thread, so that a large model does not hold up everyone else's.
    """

    def __init__(self, root: Path, open_registry: Callable[[str], Registry]) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._open_registry = open_registry
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="fetch")
        self._underway: dict[str, Future[None]] = {}
        self._not_before: dict[str, float] = {}
        self._swept = False

    def close(self) -> None:
        """Begin no further downloads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def get(self, key: str, *, workspace: str, model: str, version: int) -> Path | None:
        """Return the folder of ``key``, or ``None`` while it is being fetched.

        Raises ``CannotFetch`` for a version that has gone or cannot be read, and
        ``Unavailable`` while MLflow does not answer.
        """
        folder = self._root / key
        if folder.is_dir():
            return folder
        if (work := self._underway.get(key)) is not None:
            if not work.done():
                return None
            del self._underway[key]
            self._raise(key, work.exception())
        if time.monotonic() >= self._not_before.get(key, 0):
            self._underway[key] = self._pool.submit(self._fetch, folder, workspace, model, version)
        return folder if folder.is_dir() else None

    def sweep(self, keep: Collection[str]) -> None:
        """Delete the folders of deployments and generations that are no more."""
        for folder in self._root.iterdir():
            name = folder.name
            if name.startswith(_PARTIAL):
                if not self._swept and not _alive(name):
                    shutil.rmtree(folder, ignore_errors=True)
            elif name not in keep:
                # Renamed first: half a model must never pass for a whole one.
                doomed = self._root / f"{_PARTIAL}0-{secrets.token_hex(4)}"
                folder.rename(doomed)
                shutil.rmtree(doomed, ignore_errors=True)
        self._swept = True

    def _raise(self, key: str, error: BaseException | None) -> None:
        if error is None:
            return
        if isinstance(error, Unavailable | OSError):
            self._not_before[key] = time.monotonic() + PAUSE
            raise Unavailable(str(error)) from error
        if isinstance(error, ProblemError):
            raise CannotFetch(f"{error.detail} {error.fix or ''}".strip()) from error
        raise CannotFetch("The model's files could not be fetched.") from error

    def _fetch(self, folder: Path, workspace: str, model: str, version: int) -> None:
        partial = self._root / (
            f"{_PARTIAL}{os.getpid()}-{threading.get_ident()}-{secrets.token_hex(4)}"
        )
        try:
            with self._open_registry(workspace) as registry:
                registry.download(model, version, into=partial)
            _let_read(partial)
            partial.rename(folder)
        except BaseException as error:
            shutil.rmtree(partial, ignore_errors=True)
            if folder.is_dir():
                return  # another worker was faster
            if not isinstance(error, ProblemError | OSError):
                log.exception("fetching %s version %s failed", model, version)
            raise


def _let_read(folder: Path) -> None:
    """Let a container's user read the files; nobody else gets into the folder around them."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def _alive(partial: str) -> bool:
    """Tell whether the process that makes the folder ``partial`` still lives."""
    pid = partial.removeprefix(_PARTIAL).split("-", 1)[0]
    return pid.isdigit() and int(pid) > 0 and Path(f"/proc/{pid}").exists()

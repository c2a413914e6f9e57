"""Shares from Python: ``send``, ``list``, ``take``, ``dismiss``, ``delete``.

Everything goes through the control plane, as whoever the environment says.
"""

from __future__ import annotations

import builtins
import errno
import json
import os
import stat
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import quote

from perijove import copies
from perijove.client import Client
from perijove.exceptions import NotebookError, Unreachable
from perijove.types.shares import MAX_BYTES, Box, Share, ShareCreate, Taken

__all__ = ["delete", "dismiss", "list", "send", "take"]


def send(
    notebook: str | Path | dict[str, Any],
    name: str | None = None,
    *,
    to: str | None = None,
    group: str | None = None,
    message: str = "",
    expires_days: int = 30,
) -> Share:
    """Share a copy of a notebook with the user ``to``, or with ``group``, one of yours.

    The copy is the file as it was saved last, outputs and all, with the image of this
    workspace. ``notebook`` may be nbformat JSON too; it needs a file's ``name`` then. Raises
    ``NotebookError``.
    """
    if not isinstance(notebook, dict):
        name = name or Path(notebook).name
        notebook = _read(Path(notebook))
    body = ShareCreate(
        notebook=notebook,
        name=name or "",
        receiver=to,
        group=group,
        message=message,
        expires_days=expires_days,
        server=os.environ.get("JUPYTERHUB_SERVER_NAME", ""),
    )
    key = uuid.uuid4().hex
    with Client() as client:
        try:
            return client.post(Share, "/shares", body, key=key)
        except Unreachable:
            # The answer may have been lost; the key makes a second try harmless.
            return client.post(Share, "/shares", body, key=key)


def list(q: str = "", *, box: str | None = None) -> builtins.list[Share]:  # noqa: A001
    """Return what was shared with you and what you share, newest first.

    ``box`` is ``received`` or ``sent``; ``q`` is part of the name, the message or the sender.
    """
    wanted = Box(box).value if box else None
    with Client() as client:
        return [*client.pages(Share, "/shares", q=q or None, box=wanted)]


def take(share: str, *, folder: str | Path | None = None) -> Taken:
    """Copy a share into ``folder``, or into ``Shared with me`` in your home.

    Nothing is overwritten: a second copy is ``NAME-1``. ``path`` in the answer is the copy's.
    """
    at = f"/shares/{quote(share, safe='')}"
    with Client() as client:
        found = client.get(Share, at)
        content = client.send("GET", f"{at}/notebook").content
    into = Path(folder) if folder else copies.own_folder(Path.home())
    written = copies.write(into, found.name, content)
    return Taken(
        path=str(written),
        sender=found.sender,
        image=found.image,
        image_digest=found.image_digest,
    )


def dismiss(share: str) -> None:
    """See no more what was shared with you; copies that you took stay."""
    with Client() as client:
        client.send("POST", f"/shares/{quote(share, safe='')}/dismiss")


def delete(share: str) -> None:
    """Take back what you shared; copies that were taken stay."""
    with Client() as client:
        client.delete(f"/shares/{quote(share, safe='')}")


def _read(path: Path) -> dict[str, Any]:
    """Read a notebook's file, and no link: it may lead to a file nobody meant to give away."""
    try:
        # A pipe that nobody writes to would block without O_NONBLOCK.
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP and path.is_symlink():
            raise NotebookError(
                f"{path} is a link to {path.readlink()}. Share that file by its own path."
            ) from None
        raise NotebookError(f"{path} cannot be read: {error.strerror}.") from None
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            raise NotebookError(f"{path} is no file. Choose a notebook (.ipynb).")
        if found.st_size > MAX_BYTES:
            raise NotebookError(
                f"{path} has {found.st_size / 1e6:.0f} MB; at most {MAX_BYTES // 10**6} are "
                "shared. Clear large outputs, or put data into a shared folder."
            )
        with os.fdopen(file, "rb", closefd=False) as opened:
            content = opened.read()
    finally:
        os.close(file)
    try:
        notebook = json.loads(content)
    except (ValueError, RecursionError):
        notebook = None
    if not isinstance(notebook, dict):
        raise NotebookError(f"{path} is not a notebook. Choose a file that Jupyter saved (.ipynb).")
    return notebook

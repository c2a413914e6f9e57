"""Shares from Python: ``send``, ``list``, ``take``, ``delete``.

Everything goes through the control plane, as whoever the environment says.
"""

from __future__ import annotations

import builtins
import json
import os
import uuid
from pathlib import Path
from urllib.parse import quote

from perijove import copies
from perijove.client import Client
from perijove.exceptions import NotebookError, Unreachable
from perijove.types.base import Page
from perijove.types.shares import Box, Share, ShareCreate, Taken

__all__ = ["delete", "list", "send", "take"]


def send(
    path: str | Path,
    *,
    to: str | None = None,
    group: str | None = None,
    message: str = "",
    expires_days: int = 30,
) -> Share:
    """Share a copy of a notebook with the user ``to``, or with ``group``, one of yours.

    The copy is the file as it was saved last, outputs and all, with the image of this
    workspace. Raises ``NotebookError``.
    """
    path = Path(path)
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NotebookError(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError):
        notebook = None
    if not isinstance(notebook, dict):
        raise NotebookError(f"{path} is not a notebook. Choose a file that Jupyter saved (.ipynb).")
    body = ShareCreate(
        notebook=notebook,
        name=path.name,
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
    found: builtins.list[Share] = []
    cursor = None
    with Client() as client:
        while True:
            page = client.get(Page[Share], "/shares", q=q or None, box=wanted, cursor=cursor)
            found += page.items
            cursor = page.next_cursor
            if cursor is None:
                return found


def take(share: str, *, folder: str | Path | None = None) -> Taken:
    """Copy a share into ``folder``, or into ``Shared with me`` in your home.

    Nothing is overwritten: a second copy is ``NAME-1``. ``path`` in the answer is the copy's.
    """
    at = f"/shares/{quote(share, safe='')}"
    with Client() as client:
        found = client.get(Share, at)
        content = client.send("GET", f"{at}/notebook").content
    written = copies.write(Path(folder or Path.home() / copies.FOLDER), found.name, content)
    return Taken(
        path=str(written),
        sender=found.sender,
        image=found.image,
        image_digest=found.image_digest,
    )


def delete(share: str) -> None:
    """Take back what you shared; copies that were taken stay."""
    with Client() as client:
        client.delete(f"/shares/{quote(share, safe='')}")

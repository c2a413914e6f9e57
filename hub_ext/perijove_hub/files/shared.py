"""Shared folders of the host: an operating-system group each, whatever its members' umask."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from perijove_hub.context import Context
from perijove_hub.files.acl import share_with_group
from perijove_hub.files.exceptions import FilesError
from perijove_hub.files.homes import homes_place
from perijove_hub.files.places import Folder
from perijove_hub.store.models import SharedFolderRow

#: The first number of a shared folder's group, past those that systems give to people.
FIRST_GID = 30_000
#: Set-group-id, so that what is made inside belongs to the folder's group.
MODE = 0o2770
#: Groups below are the host's own (docker, disk, shadow) and are given to nobody.
_LEAST_GID = 1000


def prepare(context: Context, name: str, folder: Path) -> None:
    """Make the shared folder ``name`` at ``folder``; leave one that is there as it is.

    Raises ``FilesError``.
    """
    _keep_apart(context, name, folder)
    if folder.is_dir():
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = folder.with_name(f".new-{secrets.token_hex(8)}")
        partial.mkdir(mode=0o700)
        open_to_group(context, name, partial)
        partial.rename(folder)
    except OSError as error:
        if not folder.is_dir():
            raise FilesError(
                f"files.shared.{name}: {folder} cannot be made ({error.strerror})."
            ) from None


def open_to_group(context: Context, name: str, folder: Path) -> None:
    """Give a new ``folder`` to the group of the shared folder ``name``.

    Run by anybody but root, containers all have that user's number and need no group.
    """
    if os.geteuid() == 0:
        os.chown(folder, 0, _number(context, name))
    share_with_group(folder)
    folder.chmod(MODE)


def group_of(folder: Path) -> int | None:
    """Return the group that whoever uses ``folder`` needs, if it is one of people."""
    try:
        gid = folder.stat().st_gid
    except OSError:
        return None
    return gid if gid >= _LEAST_GID else None


def _keep_apart(context: Context, name: str, folder: Path) -> None:
    """Refuse a place from which people would see secrets, or each other's homes."""
    private = {context.data.root: "secrets"}
    homes = homes_place(context)
    if isinstance(homes, Folder):
        private[homes.path] = "homes"
    shown = folder.resolve()
    for path, what in private.items():
        real = path.resolve()
        if shown == real or shown in real.parents or real in shown.parents:
            raise FilesError(
                f"files.shared.{name}: {folder} holds, or lies in, {path}, whose {what} people "
                "would see. Choose another place."
            )


def _number(context: Context, name: str) -> int:
    """Return the number of a shared folder's group, given out on first use and kept."""
    while True:
        try:
            with context.database.session() as session:
                row = session.get(SharedFolderRow, name)
                if row is None:
                    last = session.scalar(select(func.max(SharedFolderRow.gid)))
                    row = SharedFolderRow(name=name, gid=max(FIRST_GID, (last or 0) + 1))
                    session.add(row)
                return row.gid
        except IntegrityError:
            # Another process gave out the same number at the same moment: look again.
            continue

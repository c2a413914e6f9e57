"""A home per user: where it is, and how it is made on first use."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
from pathlib import Path

from perijove_hub.context import Context
from perijove_hub.engine.sandbox import GID, UID
from perijove_hub.files import places, volumes
from perijove_hub.files.exceptions import FilesError
from perijove_hub.files.places import Folder, Nfs

#: Where containers see shared folders, and the link to it in every home: JupyterLab's file
#: browser shows nothing outside of the home.
SHARED = "/shared"
LINK = "shared"
#: Most bytes of a folder's name here; file systems end at 255.
_LONGEST = 200


def folder_name(user: str) -> str:
    """Name the folder of ``user``: one each, whatever characters a name has.

    Everything but lower-case letters, digits, '-' and '_' becomes ``.XX`` per UTF-8 byte
    (lower-case hexadecimal), so different names never share a folder and none is a way out.
    What would be too long for a file system ends in ``~`` and a digest instead.
    """
    slug = "".join(
        chr(byte) if re.fullmatch(r"[a-z0-9_-]", chr(byte)) else f".{byte:02x}"
        for byte in user.encode()
    )
    if len(slug) > _LONGEST:
        digest = hashlib.sha256(slug.encode()).hexdigest()[:32]
        slug = f"{slug[: _LONGEST - 40]}~{digest}"
    return slug


def home_of(context: Context, user: str) -> Path | None:
    """Return the home of ``user`` on the host; ``None`` where homes are on an NFS server."""
    place = homes_place(context)
    return place.path / folder_name(user) if isinstance(place, Folder) else None


def furnish(context: Context, user: str, tutorial: Path | None) -> None:
    """Make the home of ``user`` on first use, with a copy of ``tutorial``.

    For containers. Raises ``FilesError`` when the home cannot be made, or belongs to somebody
    other than the user containers run as, and ``EngineDown``.
    """
    place = homes_place(context)
    if isinstance(place, Nfs):
        volumes.make_home(context, place, folder_name(user))
        return
    home = place.path / folder_name(user)
    try:
        place.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        make_home(home, tutorial, link=bool(context.settings.files.shared))
        owner = home.lstat()
    except OSError as error:
        raise FilesError(
            f"{home} cannot be made ({error.strerror}). Mend [files] homes, or its permissions."
        ) from None
    uid = UID if os.geteuid() == 0 else os.geteuid()
    if owner.st_uid != uid:
        raise FilesError(
            f"{home} belongs to user {owner.st_uid} and a container's user is {uid}. It was "
            f"made by --spawner local: give it over with chown -R {uid}:{uid}."
        )


def make_home(home: Path, tutorial: Path | None, *, link: bool = False) -> None:
    """Make a new home in one step, with a copy of ``tutorial``; leave an existing one alone.

    With ``link`` it leads to the shared folders.

    Once a user has been in a home nothing here writes into it: what looks like a file there
    may be their link to a file of the Hub's.
    """
    if os.path.lexists(home):
        return
    partial = home.with_name(f".new-{secrets.token_hex(8)}")
    partial.mkdir(mode=0o700)
    made = [partial]
    if link:
        (partial / LINK).symlink_to(SHARED)
        made.append(partial / LINK)
    if tutorial is not None:
        shutil.copyfile(tutorial, partial / tutorial.name)
        made.append(partial / tutorial.name)
    if os.geteuid() == 0:
        for path in made:
            os.chown(path, UID, GID, follow_symlinks=False)
    try:
        partial.rename(home)
    except OSError:
        # Two starts at once, and the other was first: its home holds files already.
        shutil.rmtree(partial)
        if not os.path.lexists(home):
            raise


def local_homes(context: Context) -> Path:
    """Return the folder of homes for workspaces that are processes of this host.

    Raises ``FilesError`` when the settings put homes where only containers reach them.
    """
    place = homes_place(context)
    if isinstance(place, Folder):
        return place.path
    raise FilesError(
        "files.homes: workspaces that are not in Docker do not mount nfs://. Mount the export "
        "on this host and name the folder."
    )


def homes_place(context: Context) -> Folder | Nfs:
    """Return where the settings put homes."""
    text = context.settings.files.homes
    return Folder(context.data.homes) if text is None else places.homes(text)

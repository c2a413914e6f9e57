"""What a user's containers see: the home, and the shared folders of their groups."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from perijove_hub.context import Context
from perijove_hub.engine import Mount
from perijove_hub.engine.sandbox import HOME
from perijove_hub.files import places, shared, volumes
from perijove_hub.files.homes import SHARED, folder_name, homes_place
from perijove_hub.files.places import Folder, Nfs, Volume
from perijove_hub.settings import SharedFolderSettings


def mounts(context: Context, *, user: str, groups: Sequence[str]) -> list[Mount]:
    """Return what to mount for ``user``: their home, and ``/shared/NAME`` for each folder.

    A folder that one of ``groups`` writes is writable, one they only read is not, others are
    left out. Shared folders that are not there yet are made. Groups count as they are now: a
    running container keeps its mounts. Raises ``FilesError`` or ``EngineDown``.
    """
    return [_home(context, user), *_shared(context, groups)]


def prepare(context: Context) -> None:
    """Make every shared folder that is not there yet. Raises ``FilesError`` or ``EngineDown``."""
    for _ in _shared(context, everyone(context)):
        pass


def everyone(context: Context) -> list[str]:
    """Return the groups that see a shared folder."""
    folders = context.settings.files.shared.values()
    return sorted({group for folder in folders for group in (*folder.read, *folder.write)})


def gids(context: Context, *, groups: Sequence[str]) -> list[int]:
    """Return the numbers of operating-system groups that a container of theirs needs.

    Call it after ``mounts``, which makes the folders.
    """
    found: set[int] = set()
    for _, folder, _ in _visible(context, groups):
        place = places.shared(folder.place)
        path = None
        if isinstance(place, Folder):
            path = place.path
        elif isinstance(place, Volume):
            path = volumes.named_volume(context, place.name)
        number = shared.group_of(path) if path is not None else None
        if number is not None:
            found.add(number)
    return sorted(found)


def _home(context: Context, user: str) -> Mount:
    place = homes_place(context)
    name = folder_name(user)
    if isinstance(place, Folder):
        return Mount(str(place.path / name), HOME)
    theirs = Nfs(place.server, f"{place.path.rstrip('/')}/{name}")
    return Mount(volumes.nfs_volume(context, "home", user, theirs), HOME)


def _shared(context: Context, groups: Sequence[str]) -> Iterator[Mount]:
    for name, folder, writes in _visible(context, groups):
        place = places.shared(folder.place)
        match place:
            case Folder(path):
                shared.prepare(context, name, path)
                source = str(path)
            case Nfs():
                source = volumes.nfs_volume(context, "shared", name, place)
            case Volume(volume):
                source = volume
                made = volumes.named_volume(context, volume)
                # A new volume belongs to root, and is opened to its group once.
                if made is not None and os.geteuid() == 0 and shared.group_of(made) is None:
                    shared.open_to_group(context, name, made)
        yield Mount(source, f"{SHARED}/{name}", read_only=not writes)


def _visible(
    context: Context, groups: Sequence[str]
) -> Iterator[tuple[str, SharedFolderSettings, bool]]:
    """Give name, settings and whether they write, of each folder that ``groups`` may see."""
    theirs = {*groups, "*"}
    for name, folder in sorted(context.settings.files.shared.items()):
        writes = bool(theirs & set(folder.write))
        if writes or theirs & set(folder.read):
            yield name, folder, writes

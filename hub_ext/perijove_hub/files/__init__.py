"""Homes and shared folders: where they are, who sees which, how large they are."""

from __future__ import annotations

from perijove_hub.files.exceptions import FilesError
from perijove_hub.files.homes import furnish, home_of
from perijove_hub.files.limit import over_limit
from perijove_hub.files.mounts import everyone, gids, mounts, prepare

__all__ = [
    "FilesError",
    "everyone",
    "furnish",
    "gids",
    "home_of",
    "mounts",
    "over_limit",
    "prepare",
]

"""Workspaces from Python: which run, why they ended, and which sizes there are."""

from __future__ import annotations

import builtins

from perijove.client import Client
from perijove.types.base import Page
from perijove.types.workspaces import Sizes, Workspace

__all__ = ["list", "sizes"]


def list() -> builtins.list[Workspace]:  # noqa: A001
    """Return your workspaces, or everybody's for an administrator, by user and server."""
    found: builtins.list[Workspace] = []
    cursor = None
    with Client() as client:
        while True:
            page = client.get(Page[Workspace], "/workspaces", cursor=cursor)
            found += page.items
            cursor = page.next_cursor
            if cursor is None:
                return found


def sizes() -> Sizes:
    """Return the sizes you may choose, and how many GPUs are free now."""
    with Client() as client:
        return client.get(Sizes, "/workspaces/sizes")

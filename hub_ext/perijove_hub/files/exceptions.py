"""Why files cannot be had as the settings say."""

from __future__ import annotations


class FilesError(Exception):
    """A home or shared folder cannot be used; ``str()`` says why and how to mend it."""

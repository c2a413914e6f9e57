"""Why a backup cannot be made or put back."""

from __future__ import annotations


class BackupError(Exception):
    """``str()`` says why and what to do; nothing half-made is left."""

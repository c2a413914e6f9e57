"""Files: how large a home is."""

from __future__ import annotations

from perijove.types.base import Wire


class HomeUsage(Wire):
    """The size of the caller's home, as it was found some minutes ago."""

    home_bytes: int | None
    """Null before it was first looked at."""
    limit_bytes: int
    """Nothing starts above it."""
    warning: str | None = None
    """What to tell the user from 90 % of the limit on."""

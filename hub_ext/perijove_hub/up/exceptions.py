"""Why ``perijove up`` cannot start."""

from __future__ import annotations


class StartError(Exception):
    """Something is missing or taken; ``str()`` says what and how to mend it."""

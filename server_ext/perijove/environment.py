"""The image that this code runs in, as the spawner says; none outside of containers."""

from __future__ import annotations

import os
import re


def image() -> str | None:
    """Return ``NAME@VERSION``, or ``None`` where there is no image."""
    return _known("PERIJOVE_IMAGE", r"[a-z0-9._-]{1,63}(@[0-9]{1,9})?")


def digest() -> str | None:
    """Return the image's digest, ``sha256:…``, or ``None`` where there is no image."""
    return _known("PERIJOVE_IMAGE_DIGEST", r"sha256:[0-9a-f]{64}")


def _known(name: str, pattern: str) -> str | None:
    value = os.environ.get(name, "").strip()
    return value if re.fullmatch(pattern, value) else None

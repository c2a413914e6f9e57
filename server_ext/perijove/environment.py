"""The image that this code runs in, as the spawner says; none outside of containers."""

from __future__ import annotations

import contextlib
import os
import re
import site
import sys
from pathlib import Path


def image() -> str | None:
    """Return ``NAME@VERSION``, or ``None`` where there is no image."""
    return _known("PERIJOVE_IMAGE", r"[a-z0-9._-]{1,63}(@[0-9]{1,9})?")


def digest() -> str | None:
    """Return the image's digest, ``sha256:…``, or ``None`` where there is no image."""
    return _known("PERIJOVE_IMAGE_DIGEST", r"sha256:[0-9a-f]{64}")


def make_room() -> None:
    """Make the folder that ``pip install`` fills in an image: the user's own, at home.

    Python looks there only if it is there when a kernel starts, so that the first installation
    would else need a restart before anything, ``%freeze`` too, could see it.
    """
    if image() is not None and site.ENABLE_USER_SITE:
        with contextlib.suppress(OSError):
            Path(site.getusersitepackages()).mkdir(parents=True, exist_ok=True)


def added() -> list[str]:
    """Name what the user has installed beside the image: ``NAME VERSION``, by name.

    All else of an image is read-only, so it lies in the user's own folder, which runs and
    replicas do not have.
    """
    if image() is None:
        return []
    # Not on the way to every kernel's prompt.
    from importlib import metadata

    place = site.getusersitepackages()
    # One that the image has too is not the one that Python imports.
    found = set()
    for one in metadata.distributions(path=[place]):
        name = one.metadata["Name"] if one.metadata else None
        if name and place in sys.path:
            imported = metadata.distribution(name)
            if str(imported.locate_file("")).rstrip("/") == place:
                found.add(f"{name} {imported.version}")
    return sorted(found)


def warning() -> str | None:
    """Say what work that starts from this image will lack; ``None`` for nothing."""
    found = added()
    if not found:
        return None
    shown = ", ".join(found[:5]) + (f" and {len(found) - 5} more" if found[5:] else "")
    return f"Not in {image()}, so not where it will run: {shown}. %freeze --build makes an image."


def _known(name: str, pattern: str) -> str | None:
    value = os.environ.get(name, "").strip()
    return value if re.fullmatch(pattern, value) else None

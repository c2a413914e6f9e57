"""Which sizes somebody may use, and the one to try when a kernel ran out of memory."""

from __future__ import annotations

from collections.abc import Sequence

from perijove_hub.exceptions import Invalid
from perijove_hub.settings import Settings, SizeSettings


def allowed(settings: Settings, groups: Sequence[str]) -> dict[str, SizeSettings]:
    """Return the sizes open to members of ``groups``, by name."""
    theirs = {"*", *groups}
    return {
        name: size for name, size in settings.workspaces.sizes.items() if theirs & set(size.groups)
    }


def chosen(settings: Settings, groups: Sequence[str], name: str) -> SizeSettings:
    """Return the size ``name``; raises ``Invalid`` where it is not theirs to use."""
    sizes = allowed(settings, groups)
    if name not in sizes:
        known = ", ".join(sizes) or "none"
        raise Invalid(
            f"'{name}' is not a size you may use.", field="size", fix=f"Choose one of: {known}."
        )
    return sizes[name]


def next_up(settings: Settings, groups: Sequence[str], name: str) -> str | None:
    """Return the size with more memory that has fewest GPUs more, or ``None``."""
    sizes = allowed(settings, groups)
    now = settings.workspaces.sizes.get(name)
    if now is None:
        return None
    larger = [
        (size.gpus, size.memory_mb, other)
        for other, size in sizes.items()
        if size.memory_mb > now.memory_mb and size.gpus >= now.gpus
    ]
    return min(larger)[2] if larger else None

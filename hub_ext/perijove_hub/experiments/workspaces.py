"""Which MLflow workspaces a caller has: one for each group of theirs, and a personal one."""

from __future__ import annotations

import hashlib
import re

from perijove.types.base import Principal

#: Names taken over as they are; everything else gets a hash, so that no two ever meet.
_PLAIN = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
#: MLflow allows 63 characters.
_LONGEST = 50


def workspace_of(principal: Principal) -> str:
    """Return the workspace used when none is named: the first group's, else the personal one."""
    return workspaces_of(principal)[0]


def workspaces_of(principal: Principal) -> list[str]:
    """Return every workspace the caller may use, the usual one first."""
    groups = [group_workspace(group) for group in sorted(set(principal.groups))]
    return [*groups, personal_workspace(principal.name)]


def group_workspace(group: str) -> str:
    """Return the workspace of a group."""
    return f"group-{_slug(group)}"


def personal_workspace(user: str) -> str:
    """Return the workspace that only ``user`` has."""
    return f"user-{_slug(user)}"


def _slug(name: str) -> str:
    """Make a name MLflow accepts: letters, digits and single hyphens, or such plus a hash.

    A plain name never holds ``--``, and a hashed one always does.
    """
    if _PLAIN.fullmatch(name) and len(name) <= _LONGEST:
        return name
    readable = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:30].strip("-")
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:20]
    return f"{readable or 'x'}--{digest}"

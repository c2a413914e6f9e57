"""The soft limit of homes: a warning near it, no new start above it."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from perijove.types.files import HomeUsage
from perijove_hub.context import Context
from perijove_hub.files import measure
from perijove_hub.files.homes import home_of
from perijove_hub.store.models import WorkspaceRow

#: The part of the limit from which people are warned.
WARN_AT = 0.9
#: Seconds a start may wait for a new look at a home that was too large.
_BUDGET = 5.0
_MIB = 2**20
#: Whose homes are looked at now.
_looking: set[str] = set()


def over_limit(context: Context, session: Session, user: str) -> str | None:
    """Return why ``user`` may not start anything for the size of their home, or ``None``.

    Looks at the home again, for at most five seconds, when it was too large last time. Call it
    in a thread, with a session for reading: nobody should wait meanwhile.
    """
    limit = context.settings.workspaces.home_mb * _MIB
    known = recorded(session, user)
    home = home_of(context, user)
    if known is None or known <= limit or home is None:
        return None
    found = _look(user, home)
    if found.complete and found.bytes <= limit:
        return None
    size = max(found.bytes, 0 if found.complete else known)
    largest = ", ".join(
        f"{name if name.isprintable() else repr(name)} ({_size(held)})"
        for name, held in found.largest()
    )
    most = f"The most is in: {largest}. " if largest else ""
    return (
        f"Your home holds {_size(size)} and may hold {_size(limit)}. {most}"
        "Start a terminal instead and delete what you do not need, or ask an administrator."
    )


def _look(user: str, home: Path) -> measure.Measured:
    """Measure a home, unless that is being done: by asking often nobody holds others up."""
    if user in _looking:
        return measure.Measured(complete=False)
    _looking.add(user)
    try:
        return measure.home(home, _BUDGET)
    finally:
        _looking.discard(user)


def usage(context: Context, session: Session, user: str) -> HomeUsage:
    """Return how large the home of ``user`` was when it was last looked at."""
    limit = context.settings.workspaces.home_mb * _MIB
    known = recorded(session, user)
    warning = None
    if known is not None and known > WARN_AT * limit:
        warning = (
            f"Your home holds {_size(known)} of {_size(limit)}. Delete what you do not need: "
            "your server will not start again above the limit."
        )
    return HomeUsage(home_bytes=known, limit_bytes=limit, warning=warning)


def recorded(session: Session, user: str) -> int | None:
    """Return the size that was last found."""
    return session.scalar(
        select(WorkspaceRow.home_bytes)
        .where(WorkspaceRow.user == user, WorkspaceRow.home_bytes.is_not(None))
        .limit(1)
    )


def record(session: Session, user: str, size: int) -> None:
    """Note the size in all of the user's workspaces, which have one home."""
    session.execute(update(WorkspaceRow).where(WorkspaceRow.user == user).values(home_bytes=size))


def _size(size: float) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / _MIB:.0f} MiB"

"""The book of what ran: one row for each stretch, with its price as it was when it began.

Times are the database's, so that no machine's clock counts hours twice. The end of a stretch
that is still open is when it was last seen: it can only grow, and nothing is charged for the
time in which nobody knows whether it ran.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from perijove_hub.settings import SizeSettings
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import UsageRow

#: A stretch that was not seen for so long has ended, when its object begins again.
SILENCE = timedelta(minutes=3)


def begin(
    session: Session,
    *,
    kind: str,
    object: str,  # noqa: A002 - the column's name
    user: str,
    group: str | None,
    image: str,
    digest: str | None,
    size: str,
    settings_size: SizeSettings,
    since: datetime | None = None,
) -> str:
    """Open a stretch and return its id; who begins twice gets the one that is open.

    An open stretch of another size, image or group, or one not seen for ``SILENCE``, is closed
    where it was last seen. ``since`` is when it really began, for whoever finds it late; never
    before the end of the object's previous stretch.
    """
    now = database_now(session)
    found = open_row(session, kind, object)
    if found is not None:
        same = (found.user, found.group, found.image, found.digest, found.size) == (
            user,
            group,
            image,
            digest,
            size,
        )
        if same and now - found.seen_at < SILENCE:
            return found.id
        close(found, found.seen_at)
        session.flush()
    began = min(since or now, now)
    previous = session.scalar(
        select(func.max(UsageRow.ended_at)).where(UsageRow.kind == kind, UsageRow.object == object)
    )
    if previous is not None:
        began = max(began, previous)
    row = UsageRow(
        kind=kind,
        object=object,
        user=user,
        group=group,
        image=image,
        digest=digest,
        size=size,
        cpu=settings_size.cpu,
        memory_mb=settings_size.memory_mb,
        gpus=settings_size.gpus,
        price=settings_size.price,
        started_at=began,
        seen_at=max(began, now),
    )
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError:
        # Another process opened it at this moment; the index of open stretches decided.
        other = open_row(session, kind, object)
        if other is None:
            raise
        return other.id
    return row.id


def seen(session: Session, kind: str, objects: Collection[str]) -> None:
    """Note that these run now; those without an open stretch are left alone."""
    now = database_now(session)
    session.execute(
        update(UsageRow)
        .where(
            UsageRow.kind == kind,
            UsageRow.object.in_(objects),
            UsageRow.ended_at.is_(None),
            # A clock that was set back must not take hours away.
            UsageRow.seen_at < now,
        )
        .values(seen_at=now)
        .execution_options(synchronize_session="fetch")
    )


def end(
    session: Session,
    kind: str,
    object: str,  # noqa: A002 - the column's name
) -> None:
    """Close the open stretch of an object now; nothing happens when there is none."""
    row = open_row(session, kind, object)
    if row is not None:
        close(row, database_now(session))
        session.flush()


def open_row(session: Session, kind: str, name: str) -> UsageRow | None:
    """Return the stretch of an object that has not ended; there is at most one."""
    return session.scalars(
        select(UsageRow).where(
            UsageRow.kind == kind, UsageRow.object == name, UsageRow.ended_at.is_(None)
        )
    ).first()


def close(row: UsageRow, at: datetime) -> None:
    """End a stretch at ``at``, never before it began."""
    row.ended_at = row.seen_at = max(at, row.started_at)

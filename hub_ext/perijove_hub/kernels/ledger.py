"""A remote kernel's state in the database. Every write is fenced by the attempt it is about.

A restart counts the attempt up, so what a worker learnt of the process before changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import CursorResult, delete, select, update
from sqlalchemy.orm import Session

from perijove.types.kernels import OVER, KernelState
from perijove_hub.gpus import leases
from perijove_hub.store import audit
from perijove_hub.store.models import GpuLeaseRow, KernelRow, PrincipalRow, WorkspaceRow, utcnow
from perijove_hub.usage import ledger as usage

#: How GPUs and hours are booked.
BOOKED_AS = "kernel"

_OVER = [state.value for state in OVER]


def active(session: Session) -> Sequence[KernelRow]:
    """Return the kernels that are not over, those that have waited longest first."""
    rows = select(KernelRow).where(KernelRow.state.not_in(_OVER))
    return session.scalars(rows.order_by(KernelRow.created_at, KernelRow.id)).all()


def change(
    session: Session, row: KernelRow, *, from_: Sequence[KernelState], **values: Any
) -> bool:
    """Change the row if it is still this attempt in one of these states; say whether it was."""
    result = session.execute(
        update(KernelRow)
        .where(
            KernelRow.id == row.id,
            KernelRow.attempt == row.attempt,
            KernelRow.state.in_([state.value for state in from_]),
        )
        .values(**values, updated_at=utcnow())
        .execution_options(synchronize_session=False)
    )
    assert isinstance(result, CursorResult)  # noqa: S101 - for the type checker
    return result.rowcount == 1


def finish(
    session: Session,
    row: KernelRow,
    state: KernelState,
    reason: str | None,
    *,
    exit_code: int | None = None,
) -> None:
    """Record how an attempt ended and close its hours; its GPU is released by ``release``."""
    changed = change(
        session,
        row,
        from_=[one for one in KernelState if one not in OVER],
        state=state.value,
        reason=reason,
        exit_code=exit_code,
        address=None,
        ended_at=utcnow(),
    )
    if changed:
        usage.end(session, BOOKED_AS, row.id)
        audit.record(session, "worker", "kernel.end", f"kernel/{row.id}", reason=reason)


def ask_to_stop(session: Session, row: KernelRow, reason: str) -> bool:
    """Have an attempt stopped, for a reason its owner will read."""
    return change(
        session,
        row,
        from_=(KernelState.queued, KernelState.starting, KernelState.running),
        stop_requested=True,
        reason=reason,
    )


def release(session: Session, *, died_before: datetime) -> None:
    """Give back the GPUs of kernels that are over or forgotten.

    One that died by itself after ``died_before`` keeps its own, for whoever restarts it.
    """
    held = session.scalars(
        select(GpuLeaseRow.holder).where(GpuLeaseRow.kind == BOOKED_AS).distinct()
    ).all()
    for holder in held:
        row = session.get(KernelRow, holder)
        if row is None or (
            row.state in _OVER
            and (row.stop_requested or row.ended_at is None or row.ended_at < died_before)
        ):
            leases.release(session, BOOKED_AS, holder)


def holders(session: Session, user: str) -> tuple[list[str], int]:
    """Return who holds GPUs: whom ``user`` may know of by name, and how many others.

    They may know of themselves and of those who share a group with them.
    """
    known = session.get(PrincipalRow, user)
    groups = set(known.groups) if known is not None else set()
    held = session.execute(
        select(GpuLeaseRow.user, PrincipalRow.groups)
        .outerjoin(PrincipalRow, PrincipalRow.name == GpuLeaseRow.user)
        .order_by(GpuLeaseRow.user)
    ).all()
    theirs = {name: set(found or ()) for name, found in held}
    names = [
        "you" if name == user else name
        for name, found in theirs.items()
        if name == user or found & groups
    ]
    return names, len(theirs) - len(names)


def servers_gone(session: Session, rows: Sequence[KernelRow]) -> set[str]:
    """Return the ids of kernels whose workspace has ended or was started anew since."""
    users = {row.user for row in rows}
    found = session.scalars(select(WorkspaceRow).where(WorkspaceRow.user.in_(users)))
    servers = {(one.user, one.server): one for one in found}
    gone = set()
    for row in rows:
        server = servers.get((row.user, row.server))
        if server is None:
            continue
        ended = server.ended_at is not None and server.ended_at > row.created_at
        # Without a choice it was not started by a spawner of ours, and nobody knows when.
        known = server.started_at if server.choice else None
        anew = known is not None and known > row.created_at
        if ended or anew:
            gone.add(row.id)
    return gone


def forget(session: Session, *, ended_before: datetime) -> None:
    """Delete what ended long ago; its hours stay in the book."""
    session.execute(
        delete(KernelRow).where(KernelRow.state.in_(_OVER), KernelRow.ended_at < ended_before)
    )

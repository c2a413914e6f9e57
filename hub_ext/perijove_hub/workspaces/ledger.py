"""The record of workspaces: what started for whom, what it holds, and why it ended.

``WorkspaceRow``, GPU lease, usage and audit change together, so that a Hub that is killed
between two steps finds in the database what it has to mend.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from perijove.types.workspaces import Profile
from perijove_hub.gpus import leases
from perijove_hub.store import audit
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import GpuLeaseRow, UsageRow, WorkspaceRow
from perijove_hub.usage import ledger as usage
from perijove_hub.workspaces.choice import Choice

#: What workspaces are in the tables of leases and usage.
KIND = "workspace"
#: Written down when a start begins and taken back when it ends, however it does: whoever reads
#: it later knows that the Hub was killed in between.
CUT_SHORT = (
    "The Hub was restarted while your workspace was waiting or starting, so that start is gone. "
    "Press Start again."
)


def holder(user: str, server: str) -> str:
    """Name a workspace in the tables of leases and usage: ``USER/SERVER``."""
    return f"{user}/{server}"


def asking(session: Session, *, user: str, server: str) -> None:
    """Note that a start has begun."""
    of(session, user, server).ending = CUT_SHORT


def began(
    session: Session,
    *,
    user: str,
    server: str,
    profile: Profile,
    choice: Choice,
    container: str | None,
) -> None:
    """Record that a workspace runs: what was asked, what it got, from which digest."""
    row = of(session, user, server)
    now = database_now(session)
    name, _, version = (choice.image or "").partition("@")
    row.choice = {
        "image": name or profile.image,
        "version": int(version) if version else None,
        # Whether the user wants this version, or whichever is current.
        "pinned": "@" in (profile.image or ""),
        "runs": choice.image,
        "digest": choice.digest,
        "size": choice.size,
        "interface": choice.interface.value,
        "group": choice.group,
        # As asked, null for the default of the size.
        "idle_minutes": profile.idle_minutes,
    }
    row.container = container
    row.started_at, row.ended_at, row.ending = now, None, None
    row.activity, row.reported_at, row.active_at = {}, None, now
    row.warned_at = row.keep_until = None
    usage.begin(
        session,
        kind=KIND,
        object=holder(user, server),
        user=user,
        group=choice.group,
        image=choice.image or "",
        digest=choice.digest,
        size=choice.size,
        settings_size=choice.limits,
    )
    audit.record(
        session,
        user,
        "workspace.start",
        f"workspace/{holder(user, server)}",
        image=choice.image,
        digest=choice.digest,
        size=choice.size,
        group=choice.group,
    )


def ended(session: Session, *, user: str, server: str, ending: str | None) -> None:
    """Record that nothing of a workspace is left, and give back what it held.

    ``ending`` says why, to its user; what another process has written stays when it is null.
    Of a workspace that had ended already nothing changes.
    """
    leases.release(session, KIND, holder(user, server))
    usage.end(session, KIND, holder(user, server))
    row = session.get(WorkspaceRow, (user, server))
    if row is None:
        return
    if row.ending == CUT_SHORT:
        row.ending = None
    if row.started_at is None or row.ended_at is not None:
        return
    row.ended_at = database_now(session)
    row.container = None
    row.ending = ending or row.ending
    audit.record(
        session, user, "workspace.end", f"workspace/{holder(user, server)}", why=row.ending
    )


def note(session: Session, *, user: str, server: str, ending: str) -> None:
    """Tell the user of something that happened, whether or not their workspace runs."""
    of(session, user, server).ending = ending[:2000]


def running(session: Session) -> int:
    """Count the workspaces that run; those that somebody only reported do not count.

    Anybody can report one, as servers of spawners that are not ours do; only ours have a choice.
    """
    return sum(map(bool, session.scalars(select(WorkspaceRow.choice).where(*_RUNS))))


def mend(session: Session) -> None:
    """Set the record right after a restart of the Hub: end what no start has completed.

    Leases and usage of workspaces that no row says are running are left from a start that the
    restart cut short.
    """
    runs = {
        holder(row.user, row.server) for row in session.scalars(select(WorkspaceRow).where(*_RUNS))
    }
    held = session.scalars(select(GpuLeaseRow.holder).where(GpuLeaseRow.kind == KIND))
    open_ = session.scalars(
        select(UsageRow.object).where(UsageRow.kind == KIND, UsageRow.ended_at.is_(None))
    )
    for name in {*held, *open_} - runs:
        leases.release(session, KIND, name)
        usage.end(session, KIND, name)


def renamed(session: Session, user: str, old: str, new: str) -> None:
    """Follow a named server that has another name now; it does not run."""
    row = session.get(WorkspaceRow, (user, old))
    if row is not None:
        session.merge(WorkspaceRow(user=user, server=new, choice=row.choice, ending=row.ending))
        session.delete(row)


def asked(choice: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was asked for at the last start, as options for the next."""
    options = {key: choice.get(key) for key in Profile.model_fields}
    if choice.get("pinned"):
        options["image"] = choice.get("runs")
    return {key: value for key, value in options.items() if value is not None}


def of(session: Session, user: str, server: str) -> WorkspaceRow:
    """Return the row of a workspace, made on first use."""
    row = session.get(WorkspaceRow, (user, server))
    if row is None:
        row = WorkspaceRow(user=user, server=server)
        session.add(row)
        session.flush()
    return row


_RUNS = (WorkspaceRow.started_at.is_not(None), WorkspaceRow.ended_at.is_(None))

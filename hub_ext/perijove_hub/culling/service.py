"""What workspaces report, what keeps them alive, and where each stands."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from perijove.types.base import Principal
from perijove.types.culling import (
    ActivityReport,
    Busy,
    BusyKind,
    Idleness,
    IdleState,
    KeepAlive,
)
from perijove.types.jobs import RunState
from perijove_hub.context import Context
from perijove_hub.culling.verdict import Times
from perijove_hub.exceptions import Conflict, NotFound
from perijove_hub.settings import Settings, SizeSettings
from perijove_hub.store import audit
from perijove_hub.store.models import JobRow, KernelRow, RunRow, WorkspaceRow, utcnow
from perijove_hub.workspaces.choice import default_idle, may_choose, most_idle

#: Remote kernels that count as open.
_OPEN = ("queued", "starting", "running")
#: Most workspaces of one user that are kept account of.
MOST_SERVERS = 100
#: The instant checkpoints were asked for, in ``WorkspaceRow.activity``.
_ASKED = "checkpoints_asked_at"
_DONE = "checkpointed"
#: Why it is to be stopped, where that is not that nobody uses it.
_WHY = "stopped_because"
_BUSY = "busy"


class CullingService:
    """The API's side: users' servers report here and ask to be kept."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def report(self, principal: Principal, report: ActivityReport) -> IdleState:
        """Note what a workspace of the caller's says of itself; return where it stands."""
        now = utcnow()
        with self._context.database.session() as session:
            row = session.get(WorkspaceRow, (principal.name, report.server))
            if row is None:
                # Spawned by a spawner that is not ours.
                _check_room(session, principal)
                row = WorkspaceRow(user=principal.name, server=report.server, started_at=now)
                session.add(row)
            row.reported_at = now
            note_activity(session, row, report.busy, report.last_activity, now)
            if report.checkpointed:
                row.activity = {**row.activity, _DONE: True}
            return state_of(self._context.settings, row, principal, now)

    def state(self, principal: Principal, server: str) -> IdleState:
        """Return where a workspace of the caller's stands."""
        with self._context.database.reading() as session:
            return state_of(
                self._context.settings, _mine(session, principal, server), principal, utcnow()
            )

    def keep(self, principal: Principal, request: KeepAlive) -> IdleState:
        """Keep a workspace of the caller's for one more stretch of its idle time.

        Raises ``Conflict`` when it is being stopped for something else.
        """
        now = utcnow()
        settings = self._context.settings
        with self._context.database.session() as session:
            row = _mine(session, principal, request.server)
            if (why := ending_of(row)) is not None:
                raise Conflict(why, fix="Save your work; start it again when the reason is gone.")
            row.keep_until = now + timedelta(minutes=idle_minutes(settings, row))
            row.warned_at = None
            row.activity = _without_end(row)
            audit.record(session, principal, "workspace.keep", _name(row))
            return state_of(settings, row, principal, now)


def note_activity(
    session: Session, row: WorkspaceRow, busy: Sequence[Busy], last: datetime, now: datetime
) -> None:
    """Record activity: what the workspace reports, and what runs for its user elsewhere."""
    all_busy = [*busy, *elsewhere(session, row.user, row.server)]
    # A clock that is ahead must not keep a workspace alive for ever.
    seen = now if all_busy else min(last, now)
    if row.active_at is None or seen > row.active_at:
        row.active_at = seen
    activity = {**row.activity, _BUSY: [item.model_dump(mode="json") for item in all_busy]}
    warned = row.warned_at
    if warned is not None and (all_busy or row.active_at > warned):
        row.warned_at = None
        if _WHY not in activity:
            activity.pop(_ASKED, None)
            activity.pop(_DONE, None)
    row.activity = activity


def elsewhere(session: Session, user: str, server: str) -> list[Busy]:
    """Return what runs for a workspace outside of it: its user's job runs, its remote kernels."""
    jobs = session.scalars(
        select(JobRow.name)
        .join(RunRow, RunRow.job_id == JobRow.id)
        .where(RunRow.requested_by == user, RunRow.state == RunState.running.value)
        .limit(20)
    )
    kernels = session.scalars(
        select(KernelRow).where(
            KernelRow.user == user, KernelRow.server == server, KernelRow.state.in_(_OPEN)
        )
    )
    return [Busy(kind=BusyKind.job, name=name) for name in jobs] + [
        Busy(kind=BusyKind.remote_kernel, name=f"{kernel.image} · {kernel.size}")
        for kernel in kernels
    ]


def times(settings: Settings, row: WorkspaceRow, now: datetime) -> Times:
    """Return what decides about a workspace."""
    idle = timedelta(minutes=idle_minutes(settings, row))
    warning = timedelta(minutes=settings.workspaces.idle.warning_minutes)
    started = row.started_at or now
    return Times(
        active_at=max(row.active_at or started, started),
        idle=idle,
        # With an idle time shorter than the warning there is still some time before it.
        warning=min(warning, idle / 2),
        warned_at=row.warned_at,
        keep_until=row.keep_until,
    )


def idle_minutes(settings: Settings, row: WorkspaceRow) -> int:
    """Return the idle minutes that hold for a workspace, within today's bounds."""
    size = size_of(settings, row)
    asked = row.choice.get("idle_minutes")
    minutes = asked if isinstance(asked, int) else default_idle(settings, size)
    return min(minutes, most_idle(settings, size))


def size_of(settings: Settings, row: WorkspaceRow) -> SizeSettings:
    """Return the size a workspace runs in; the default one when its own is gone."""
    sizes = settings.workspaces.sizes
    return sizes.get(row.choice.get("size", ""), sizes[settings.workspaces.default_size])


def state_of(
    settings: Settings, row: WorkspaceRow, principal: Principal, now: datetime
) -> IdleState:
    """Describe where a workspace stands."""
    when = times(settings, row, now)
    state = when.state(now)
    if checkpoints_asked_at(row) is not None:
        state = Idleness.stopping
    elif state is Idleness.stopping:
        # The duty decides that it ends; until then it is warned.
        state = Idleness.warned
    return IdleState(
        state=state,
        server=row.server,
        idle_minutes=idle_minutes(settings, row),
        active_at=when.active_at,
        shut_off_at=when.shut_off_at,
        keep_until=row.keep_until,
        reason=ending_of(row),
        busy=[Busy.model_validate(item) for item in row.activity.get(_BUSY, [])],
        larger=_larger(settings, row, principal),
    )


def ask_for_checkpoints(row: WorkspaceRow, now: datetime, *, why: str | None = None) -> None:
    """Have the workspace make its checkpoints, because it is going to be stopped.

    ``why`` is what its user is told; null for idleness.
    """
    asked = {_ASKED: now.isoformat()} if why is None else {_ASKED: now.isoformat(), _WHY: why}
    row.activity = {**_without_end(row), **asked}


def call_off(row: WorkspaceRow) -> None:
    """Let a workspace go on that was to be stopped for something else than idleness."""
    if _WHY in row.activity:
        row.activity = _without_end(row)


def ending_of(row: WorkspaceRow) -> str | None:
    """Return why a workspace is being stopped; null when it is not, or for idleness."""
    return row.activity.get(_WHY) if checkpoints_asked_at(row) is not None else None


def checkpoints_asked_at(row: WorkspaceRow) -> datetime | None:
    """Return when the workspace was told to make its checkpoints, or ``None``."""
    text = row.activity.get(_ASKED)
    asked = datetime.fromisoformat(text) if text else None
    if asked is not None and row.started_at is not None and asked < row.started_at:
        # That was an earlier life of this workspace.
        return None
    return asked


def has_checkpoints(row: WorkspaceRow) -> bool:
    """Tell whether the workspace has said that its checkpoints are made."""
    return bool(row.activity.get(_DONE))


def _larger(settings: Settings, row: WorkspaceRow, principal: Principal) -> str | None:
    now = size_of(settings, row).memory_mb
    larger = [
        (size.memory_mb, name)
        for name, size in settings.workspaces.sizes.items()
        if size.memory_mb > now and not size.gpus and may_choose(size, principal)
    ]
    return f"{min(larger)[1]} ({min(larger)[0]} MiB)" if larger else None


def _check_room(session: Session, principal: Principal) -> None:
    """Raise ``Conflict`` for one server too many: nobody fills the database with made-up names."""
    known = select(func.count()).select_from(WorkspaceRow)
    if (session.scalar(known.where(WorkspaceRow.user == principal.name)) or 0) >= MOST_SERVERS:
        raise Conflict(
            f"You have {MOST_SERVERS} workspaces already.",
            fix="Report under the name of one that the Hub has started.",
        )


def _mine(session: Session, principal: Principal, server: str) -> WorkspaceRow:
    row = session.get(WorkspaceRow, (principal.name, server))
    if row is None:
        raise NotFound(
            f"You have no workspace named '{server}'." if server else "You have no workspace.",
            fix="Start one from the Hub's home page.",
        )
    return row


def _without_end(row: WorkspaceRow) -> dict[str, Any]:
    return {key: value for key, value in row.activity.items() if key not in (_ASKED, _DONE, _WHY)}


def _name(row: WorkspaceRow) -> str:
    return f"{row.user}/{row.server}"

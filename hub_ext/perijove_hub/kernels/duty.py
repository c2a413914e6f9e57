"""The worker's part: make the kernels that run be those that were asked for.

Everything is decided from the database and the launcher, and every step may be the last one
of a killed worker: a row is ``starting`` before its workload is started, the launcher refuses a
second one of the same name, and what it knows and the database does not is stopped.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from perijove.types.base import Principal
from perijove.types.kernels import KernelState
from perijove_hub.context import Context
from perijove_hub.exceptions import ProblemError
from perijove_hub.gpus import leases
from perijove_hub.images import service as images
from perijove_hub.kernels import agent, ledger, reasons, sizes
from perijove_hub.kernels.workload import (
    LOOPBACK,
    PORT_TAKEN,
    choose_port,
    describe,
    secret,
    workload_name,
)
from perijove_hub.launch import Launcher, LaunchError, NameTaken, Phase, Status
from perijove_hub.settings import SizeSettings
from perijove_hub.store.models import KernelRow, PrincipalRow, utcnow
from perijove_hub.usage import ledger as usage
from perijove_hub.usage import quotas

log = logging.getLogger(__name__)

#: Longest time from start to listening.
STARTING = timedelta(minutes=3)
#: How long the GPU of a kernel that died waits for its restart.
HOLD = timedelta(seconds=15)
#: Seconds between questions whether a kernel is busy.
ASK_EVERY = 10.0
#: How long an ended kernel stays in lists.
REMEMBERED = timedelta(days=7)
#: Attempts to find a port that is free.
PORT_ATTEMPTS = 5


class KernelDuty:
    """Reconciles kernels with containers; ``tick`` may be interrupted anywhere."""

    name = "kernels"
    period = 0.5

    def __init__(self, context: Context, launcher: Launcher) -> None:
        self._context = context
        self._launcher = launcher
        self._settings = context.settings
        self._in_containers = context.topology.spawner == "docker"
        self._asked = float("-inf")
        self._told: set[str] = set()

    def tick(self) -> None:
        """Look once at every kernel and take its next step; one that fails harms no other."""
        # The launcher before the database: a workload unknown there is then really unknown.
        here = {s.name: s for s in self._launcher.list() if s.labels.get("kind") == "kernel"}
        with self._context.database.reading() as session:
            rows = ledger.active(session)
            orphans = ledger.servers_gone(session, rows)
        for row in rows:
            if row.id in orphans and not row.stop_requested:
                self._ask_to_stop(row, reasons.SERVER_GONE)
        self._end_strays(here, rows)
        ahead = 0
        for row in rows:
            try:
                ahead += self._step(row, here, ahead=ahead)
            except Exception:
                log.exception("kernel %s: this look at it failed", row.id)
        self._look_after([row for row in rows if row.state == KernelState.running.value])
        with self._context.database.session() as session:
            ledger.release(session, died_before=utcnow() - HOLD)
            ledger.forget(session, ended_before=utcnow() - REMEMBERED)

    def _step(self, row: KernelRow, here: Mapping[str, Status], *, ahead: int) -> bool:
        """Take a kernel's next step; tell whether it waits, so that later ones do too."""
        status = here.get(workload_name(row.id, row.attempt))
        if row.state == KernelState.queued.value:
            if row.stop_requested:
                self._finish(row, KernelState.ended, row.reason)
            # Else the process before it has the memory still, and the GPU's.
            elif not any(other.labels.get("id") == row.id for other in here.values()):
                return not self._prepare(row, ahead=ahead)
        elif row.state == KernelState.starting.value and not row.stop_requested:
            self._start(row, status)
        else:
            self._observe(row, status)
        return False

    def _start(self, row: KernelRow, status: Status | None) -> None:
        if status is None:
            self._launch(row)
        elif status.phase is Phase.running:
            self._await_ready(row, status)
        elif status.phase is Phase.gone and status.started_at is None:
            # A start that was killed half-way, or that the engine went away from.
            self._launcher.remove(status.name)
            self._try_again(row, "its start was interrupted again and again.")
        else:
            self._observe(row, status)

    def _prepare(self, row: KernelRow, *, ahead: int) -> bool:
        """Give a queued kernel its GPU; false as long as there is none for it."""
        try:
            size = self._checked_anew(row)
        except ProblemError as error:
            self._finish(row, KernelState.failed, f"{error.detail} {error.fix or ''}".strip())
            return True
        with self._context.database.session() as session:
            gpus: list[str] | None = []
            if size.gpus:
                gpus = (
                    None
                    if ahead
                    else leases.acquire(
                        session,
                        kind=ledger.BOOKED_AS,
                        holder=row.id,
                        user=row.user,
                        gpus=size.gpus,
                    )
                )
            if gpus is None:
                free, total = leases.free(session)
                names, others = ledger.holders(session, row.user)
                reason = reasons.waiting(
                    free=free,
                    total=total,
                    wanted=size.gpus,
                    ahead=ahead,
                    names=names,
                    others=others,
                )
                if reason != row.reason:
                    ledger.change(session, row, from_=[KernelState.queued], reason=reason)
                return False
            ledger.change(
                session,
                row,
                from_=[KernelState.queued],
                state=KernelState.starting.value,
                reason=None,
                ports=[choose_port(self._context)],
                active_at=utcnow(),
            )
        # Started in the same step: whoever waits for it is looking.
        with self._context.database.reading() as session:
            fresh = session.get_one(KernelRow, row.id)
        if fresh.state == KernelState.starting.value and fresh.attempt == row.attempt:
            self._launch(fresh)
        return True

    def _checked_anew(self, row: KernelRow) -> SizeSettings:
        """Return its size, if size, image and quota are its owner's to use now.

        Raises ``ProblemError``: what waits may have lost what it was allowed when it came.
        """
        groups = self._groups(row.user)
        size = sizes.chosen(self._settings, groups.groups, row.size)
        with self._context.database.reading() as session:
            if self._in_containers:
                images.startable(session, groups, row.image, self._settings)
            reason = quotas.check(
                session, self._settings, user=row.user, group=row.group, size=row.size
            )
        if reason is not None:
            raise ProblemError(reason)
        return size

    def _groups(self, user: str) -> Principal:
        with self._context.database.reading() as session:
            known = session.get(PrincipalRow, user)
        return Principal(
            name=user,
            groups=list(known.groups) if known else [],
            admin=known.admin if known else False,
        )

    def _launch(self, row: KernelRow) -> None:
        size = self._settings.workspaces.sizes.get(row.size)
        if size is None:
            self._finish(row, KernelState.failed, f"The size '{row.size}' is gone.")
            return
        with self._context.database.session() as session:
            # What a killed worker leased is ours: it answers the same to who asks again.
            gpus = leases.acquire(
                session, kind=ledger.BOOKED_AS, holder=row.id, user=row.user, gpus=size.gpus
            )
        if gpus is None:
            with self._context.database.session() as session:
                ledger.change(
                    session, row, from_=[KernelState.starting], state=KernelState.queued.value
                )
            return
        try:
            workload = describe(
                self._context,
                row,
                size=size,
                gpus=gpus,
                groups=self._groups(row.user).groups,
            )
            self._launcher.start(workload)
        except NameTaken:
            return  # started by a worker that died before it could see it
        except LaunchError as error:
            self._finish(row, KernelState.failed, f"It could not be started: {error}.")
            return
        except Exception as error:
            # The engine is away, or a disk is full: that may pass.
            log.warning("kernel %s could not be started yet: %s", row.id, error)
            self._try_again(row, str(error))
            return
        log.info("kernel %s of %s started, attempt %d", row.id, row.user, row.attempt)

    def _try_again(self, row: KernelRow, why: str) -> None:
        """Let the next look start it again, for as long as a start may take."""
        if utcnow() > (row.active_at or row.created_at) + STARTING:
            self._finish(row, KernelState.failed, f"It could not be started: {why}")
        elif row.reason != (reason := reasons.retrying(why)):
            with self._context.database.session() as session:
                ledger.change(session, row, from_=[KernelState.starting], reason=reason)

    def _await_ready(self, row: KernelRow, status: Status) -> None:
        address = (status.address or "").rpartition(":")[0] or status.address or LOOPBACK
        try:
            agent.ask(address, row.ports[0], secret(self._context, row), "status")
        except agent.NoAnswer:
            if utcnow() > (status.started_at or row.updated_at) + STARTING:
                self._ask_to_stop(row, "It did not listen in time. Start it again.")
            return
        size = self._settings.workspaces.sizes.get(row.size, SizeSettings())
        with self._context.database.session() as session:
            changed = ledger.change(
                session,
                row,
                from_=[KernelState.starting],
                state=KernelState.running.value,
                address=address,
                reason=None,
                active_at=utcnow(),
            )
            if changed:
                usage.begin(
                    session,
                    kind=ledger.BOOKED_AS,
                    object=row.id,
                    user=row.user,
                    group=row.group,
                    image=row.image,
                    digest=row.digest or None,
                    size=row.size,
                    settings_size=size,
                )

    def _observe(self, row: KernelRow, status: Status | None) -> None:
        """Stop what shall stop, and record what has ended."""
        if status is not None and status.phase is Phase.running:
            if row.stop_requested:
                self._stop(status.name)
                if row.state != KernelState.stopping.value:
                    with self._context.database.session() as session:
                        ledger.change(
                            session,
                            row,
                            from_=[KernelState.starting, KernelState.running],
                            state=KernelState.stopping.value,
                        )
            return
        if row.stop_requested:
            self._finish(row, KernelState.ended, row.reason)
        elif self._port_was_taken(row, status):
            with self._context.database.session() as session:
                ledger.change(
                    session,
                    row,
                    from_=[KernelState.starting],
                    state=KernelState.queued.value,
                    attempt=row.attempt + 1,
                )
        else:
            state, reason = reasons.ending(
                row,
                status,
                size=self._settings.workspaces.sizes.get(row.size),
                next_up=sizes.next_up(self._settings, self._groups(row.user).groups, row.size),
            )
            self._finish(row, state, reason, status)
        if status is not None:
            self._launcher.remove(status.name)

    def _port_was_taken(self, row: KernelRow, status: Status | None) -> bool:
        return (
            status is not None
            and status.exit_code == PORT_TAKEN
            and row.state == KernelState.starting.value
            and row.attempt < PORT_ATTEMPTS
        )

    def _end_strays(self, here: Mapping[str, Status], rows: Sequence[KernelRow]) -> None:
        """End what no row is about: attempts that were replaced, kernels that are over."""
        wanted = {workload_name(row.id, row.attempt) for row in rows}
        for name, status in here.items():
            if name in wanted:
                continue
            if status.phase is Phase.running:
                self._stop(name)
            else:
                self._launcher.remove(name)
        self._told &= here.keys()

    def _stop(self, name: str) -> None:
        """Ask a workload to end, once: each time is the beginning of its grace."""
        if name not in self._told:
            self._launcher.stop(name)
            self._told.add(name)

    def _look_after(self, rows: Sequence[KernelRow]) -> None:
        """See who is idle, every few seconds; quotas have a duty of their own, which warns."""
        now = time.monotonic()
        if rows and now - self._asked >= ASK_EVERY:
            self._asked = now
            self._note_activity(rows)
            self._stop_idle(rows)

    def _note_activity(self, rows: Sequence[KernelRow]) -> None:
        with ThreadPoolExecutor(8, thread_name_prefix="kernels") as pool:
            seen = dict(zip(rows, pool.map(self._last_active, rows), strict=True))
        with self._context.database.session() as session:
            for row, at in seen.items():
                if at is not None and (row.active_at is None or at > row.active_at):
                    row.active_at = at
                    ledger.change(session, row, from_=[KernelState.running], active_at=at)

    def _last_active(self, row: KernelRow) -> datetime | None:
        """Ask a kernel when it last ran something; ``None`` when it cannot be asked."""
        try:
            answer = agent.ask(
                row.address or "", row.ports[0], secret(self._context, row), "status"
            )
        except agent.NoAnswer:
            return None
        idle = answer.get("idle_s")
        seconds = min(idle, 1e7) if isinstance(idle, int | float) and idle >= 0 else 0.0
        return utcnow() - timedelta(seconds=seconds)

    def _stop_idle(self, rows: Sequence[KernelRow]) -> None:
        idle = self._settings.workspaces.idle
        for row in rows:
            size = self._settings.workspaces.sizes.get(row.size, SizeSettings())
            minutes = idle.gpu_minutes if size.gpus else idle.minutes
            since = row.active_at or row.created_at
            if utcnow() - since > timedelta(minutes=minutes) and not row.stop_requested:
                self._ask_to_stop(row, reasons.idle(minutes, gpu=size.gpus > 0))

    def _ask_to_stop(self, row: KernelRow, reason: str) -> None:
        with self._context.database.session() as session:
            changed = ledger.ask_to_stop(session, row, reason)
        if changed:
            row.stop_requested, row.reason = True, reason
            log.info("kernel %s of %s: %s", row.id, row.user, reason)

    def _finish(
        self,
        row: KernelRow,
        state: KernelState,
        reason: str | None,
        status: Status | None = None,
    ) -> None:
        with self._context.database.session() as session:
            ledger.finish(
                session, row, state, reason, exit_code=status.exit_code if status else None
            )
        log.info("kernel %s of %s %s: %s", row.id, row.user, state, reason or "it was shut down")

"""What may be done with remote kernels: offer, start, list, interrupt, restart, stop."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from perijove.types.base import Page, Principal
from perijove.types.kernels import (
    OVER,
    Kernel,
    KernelCreate,
    KernelOffer,
    KernelRestart,
    KernelState,
)
from perijove_hub.api.paging import paginate
from perijove_hub.context import Context
from perijove_hub.exceptions import Conflict, Invalid, NotFound, Refused, Unavailable
from perijove_hub.gpus import leases
from perijove_hub.images import service as images
from perijove_hub.kernels import agent, ledger, sizes
from perijove_hub.kernels.workload import secret
from perijove_hub.settings import SizeSettings
from perijove_hub.store import audit, idempotency
from perijove_hub.store.models import KernelRow, WorkspaceRow
from perijove_hub.usage import quotas

#: Most kernels of one user that wait or run.
PER_USER = 20


class KernelService:
    """Remote kernels, each its owner's alone; an administrator sees and stops them."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._settings = context.settings

    def offers(self, principal: Principal) -> list[KernelOffer]:
        """Return what the caller may start: each of their sizes with GPUs, on each image for it.

        Where workspaces are containers that is every image with GPU libraries, or the default
        image when there is none; where they are processes, the server's own environment.
        """
        with self._context.database.reading() as session:
            names: list[str | None] = [None]
            if self._in_containers:
                seen = images.choices(session, principal.name, principal.groups, principal.admin)
                names = [one.name for one in seen if one.gpu]
                if not names:
                    default = self._settings.workspaces.default_image
                    names = [one.name for one in seen if one.name == default]
            found = {
                name: size
                for name, size in sizes.allowed(self._settings, principal.groups).items()
                if size.gpus > 0 and leases.possible(session, size.gpus)
            }
        return list(_offers(found, names))

    def create(self, principal: Principal, body: KernelCreate, *, key: str | None) -> Kernel:
        """Queue a kernel.

        Raises ``Invalid`` for a size or image the caller may not use, ``Refused`` when their
        group's quota is used up.
        """
        try:
            return self._create(principal, body, key=key)
        except IntegrityError:
            # The same key at the same moment: now it is there to be found.
            return self._create(principal, body, key=key)

    def list(
        self, principal: Principal, *, over: bool, cursor: str | None, limit: int
    ) -> Page[Kernel]:
        """List the caller's kernels, newest first; an administrator's list is everybody's."""
        rows = select(KernelRow)
        if not principal.admin:
            rows = rows.where(KernelRow.user == principal.name)
        if not over:
            rows = rows.where(KernelRow.state.not_in([state.value for state in OVER]))
        with self._context.database.reading() as session:
            found, following = paginate(
                session,
                rows,
                by=KernelRow.created_at,
                tie=KernelRow.id,
                cursor=cursor,
                limit=limit,
                descending=True,
            )
        return Page[Kernel](items=[wire(row) for row in found], next_cursor=following)

    def get(self, principal: Principal, kernel_id: str) -> Kernel:
        """Return one kernel; raises ``NotFound``."""
        with self._context.database.reading() as session:
            return wire(find(session, principal, kernel_id))

    def stop(self, principal: Principal, kernel_id: str) -> None:
        """Have a kernel stopped, or taken out of the queue; one that is over stays as it is."""
        with self._context.database.session() as session:
            row = find(session, principal, kernel_id, to_change=True)
            who = "you" if row.user == principal.name else f"the administrator {principal.name}"
            if ledger.ask_to_stop(session, row, f"Stopped by {who}."):
                audit.record(session, principal, "kernel.stop", f"kernel/{row.id}")

    def restart(self, principal: Principal, kernel_id: str, body: KernelRestart) -> Kernel:
        """Begin the next attempt: a new process without variables, on the GPU it holds.

        ``body.attempt`` names the attempt to replace; when that is replaced already nothing
        happens, so that a repeat is harmless.
        """
        with self._context.database.session() as session:
            row = find(session, principal, kernel_id, to_change=True)
            if row.user != principal.name:
                raise Refused(f"This kernel is {row.user}'s.", fix="Only its owner restarts it.")
            if body.attempt is None or body.attempt == row.attempt:
                self._may_start(session, principal, size=row.size, group=row.group)
                row.digest = self._digest(session, principal, row.image or None)[1]
                row.attempt += 1
                row.state = KernelState.queued.value
                row.stop_requested = False
                row.address = row.reason = row.exit_code = row.ended_at = None
                audit.record(
                    session,
                    principal,
                    "kernel.restart",
                    f"kernel/{row.id}",
                    image=row.image,
                    digest=row.digest,
                    size=row.size,
                )
            return wire(row)

    def interrupt(self, principal: Principal, kernel_id: str) -> None:
        """Raise ``KeyboardInterrupt`` in the cell that runs."""
        with self._context.database.reading() as session:
            row = find(session, principal, kernel_id)
        if row.user != principal.name:
            raise Refused(f"This kernel is {row.user}'s.", fix="Only its owner interrupts it.")
        if row.address is None or row.state != KernelState.running.value:
            raise Conflict(f"The kernel is {row.state}.", fix="Only one that runs is interrupted.")
        try:
            agent.ask(row.address, row.ports[0], secret(self._context, row), "interrupt")
        except agent.NoAnswer:
            raise Unavailable(
                "The kernel does not answer; it may just be ending.",
                fix="Try again, or restart it.",
            ) from None

    @property
    def _in_containers(self) -> bool:
        return self._context.topology.spawner == "docker"

    def _create(self, principal: Principal, body: KernelCreate, *, key: str | None) -> Kernel:
        with self._context.database.session() as session:
            before = idempotency.earlier(session, user=principal.name, key=key, body=body)
            if before is not None:
                return wire(find(session, principal, before))
            if principal.kind != "user":
                raise Refused("Kernels are for people.", fix="Use a user's token.")
            self._leave_room(session, principal)
            group = _group(session, principal, body.server)
            self._may_start(session, principal, size=body.size, group=group)
            image, digest = self._digest(session, principal, body.image)
            row = KernelRow(
                user=principal.name,
                server=body.server,
                group=group,
                image=image,
                digest=digest,
                size=body.size,
            )
            session.add(row)
            session.flush()
            idempotency.remember(session, user=principal.name, key=key, body=body, object_id=row.id)
            audit.record(
                session,
                principal,
                "kernel.create",
                f"kernel/{row.id}",
                image=image,
                digest=digest,
                size=body.size,
            )
            return wire(row)

    def _leave_room(self, session: Session, principal: Principal) -> None:
        alive = select(func.count()).where(
            KernelRow.user == principal.name,
            KernelRow.state.not_in([state.value for state in OVER]),
        )
        if (session.scalar(alive) or 0) >= PER_USER:
            raise Conflict(
                f"You have {PER_USER} remote kernels already.",
                fix="Stop one first: `perijove kernels list` shows them.",
            )

    def _may_start(
        self, session: Session, principal: Principal, *, size: str, group: str | None
    ) -> None:
        chosen = sizes.chosen(self._settings, principal.groups, size)
        if not leases.possible(session, chosen.gpus):
            raise Invalid(
                f"'{size}' has {chosen.gpus:g} GPUs, which this machine has not.",
                field="size",
                fix="Choose a smaller one.",
            )
        reason = quotas.check(session, self._settings, user=principal.name, group=group, size=size)
        if reason is not None:
            raise Refused(reason, field="size", fix="Choose a size that costs less, or wait.")

    def _digest(
        self, session: Session, principal: Principal, reference: str | None
    ) -> tuple[str, str]:
        """Return ``NAME@VERSION`` and digest; both empty where kernels are processes."""
        if not self._in_containers:
            if reference is not None:
                raise Invalid(
                    "Kernels are processes here, without images.",
                    field="image",
                    fix="Leave it out, or start Perijove with --spawner docker.",
                )
            return "", ""
        version = images.startable(session, principal, reference, self._settings)
        return images.reference(session, version), version.digest or ""


def find(
    session: Session, principal: Principal, kernel_id: str, *, to_change: bool = False
) -> KernelRow:
    """Return a kernel of the caller's; raises ``NotFound`` for others' unless they administer.

    ``to_change`` keeps it from everybody else until the transaction ends: the worker, which may
    be noting its end, and a second request.
    """
    row = session.get(KernelRow, kernel_id, with_for_update=to_change)
    mine = row is not None and principal.kind == "user" and row.user == principal.name
    if row is None or not (mine or principal.admin):
        raise NotFound(f"There is no kernel '{kernel_id[:100]}'.")
    return row


def wire(row: KernelRow) -> Kernel:
    """Return the row as its owner sees it."""
    return Kernel(
        id=row.id,
        user=row.user,
        server=row.server,
        group=row.group,
        image=row.image,
        size=row.size,
        state=KernelState(row.state),
        reason=row.reason,
        attempt=row.attempt,
        stopped=row.stop_requested,
        exit_code=row.exit_code,
        created_at=row.created_at,
        active_at=row.active_at,
        ended_at=row.ended_at,
    )


def _group(session: Session, principal: Principal, server: str) -> str | None:
    """Whom to charge: whom the workspace is charged to, else the first of their groups."""
    workspace = session.get(WorkspaceRow, (principal.name, server))
    group = workspace.choice.get("group") if workspace else None
    if group in principal.groups:
        return str(group)
    return min(principal.groups, default=None)


def _offers(found: dict[str, SizeSettings], names: list[str | None]) -> Iterator[KernelOffer]:
    for size_name, size in found.items():
        for image in names:
            only_image = len(names) == 1
            details = [*([] if len(found) == 1 else [size_name]), *([] if only_image else [image])]
            label = ", ".join(["GPU", *(str(detail) for detail in details)])
            yield KernelOffer(
                name="-".join(["perijove", size_name, *([] if only_image else [str(image)])]),
                display_name=f"Python ({label})",
                size=size_name,
                image=image,
                cpu=size.cpu,
                memory_mb=size.memory_mb,
                gpus=size.gpus,
                price=size.price,
                description=size.description,
            )

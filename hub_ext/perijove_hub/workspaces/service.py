"""Workspaces and sizes, as people may see them."""

from __future__ import annotations

from sqlalchemy import select

from perijove.types.base import Page, Principal
from perijove.types.workspaces import Size, Sizes, Workspace
from perijove_hub.api.paging import paginate
from perijove_hub.context import Context
from perijove_hub.exceptions import NotFound
from perijove_hub.gpus import leases
from perijove_hub.store import audit
from perijove_hub.store.models import WorkspaceRow
from perijove_hub.workspaces import servers
from perijove_hub.workspaces.choice import default_size, may_choose


class Workspaces:
    """Reads what the Hub has recorded; the Hub alone starts and stops, asked or not."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def page(self, principal: Principal, *, cursor: str | None, limit: int) -> Page[Workspace]:
        """List the caller's workspaces, an administrator everybody's, by user and server."""
        rows = select(WorkspaceRow)
        if not principal.admin:
            rows = rows.where(WorkspaceRow.user == principal.name)
        with self._context.database.reading() as session:
            found, following = paginate(
                session,
                rows,
                by=WorkspaceRow.user,
                tie=WorkspaceRow.server,
                cursor=cursor,
                limit=limit,
            )
            return Page(items=[_wire(row) for row in found], next_cursor=following)

    def check_runs(self, principal: Principal, server: str) -> None:
        """Raise ``NotFound`` unless the caller has such a workspace that runs."""
        with self._context.database.reading() as session:
            row = session.get(WorkspaceRow, (principal.name, server))
            if row is None or row.started_at is None or row.ended_at is not None:
                raise NotFound(
                    "You have no such workspace that runs.", fix="Look at the Hub's home page."
                )

    def stop(self, principal: Principal, server: str) -> None:
        """Have the Hub stop a workspace of the caller's; its files stay.

        Raises ``Unavailable`` without a Hub.
        """
        if servers.stop(self._context, user=principal.name, server=server):
            with self._context.database.session() as session:
                audit.record(session, principal, "workspace.stop", f"{principal.name}/{server}")

    def sizes(self, principal: Principal) -> Sizes:
        """List the sizes that the caller may choose, and the GPUs that are free now."""
        settings = self._context.settings
        usual = default_size(settings, principal)
        with self._context.database.reading() as session:
            free, there = leases.free(session)
        return Sizes(
            items=[
                Size(
                    name=name,
                    description=size.description,
                    cpu=size.cpu,
                    memory_mb=size.memory_mb,
                    gpus=size.gpus,
                    price=size.price,
                    default=name == usual,
                )
                for name, size in settings.workspaces.sizes.items()
                if may_choose(size, principal)
            ],
            currency=settings.usage.currency,
            free_gpus=free,
            gpus=there,
        )


def _wire(row: WorkspaceRow) -> Workspace:
    choice = row.choice
    return Workspace(
        user=row.user,
        server=row.server,
        running=row.started_at is not None and row.ended_at is None,
        image=choice.get("runs"),
        digest=choice.get("digest"),
        size=choice.get("size"),
        interface=choice.get("interface"),
        group=choice.get("group"),
        idle_minutes=choice.get("idle_minutes"),
        started_at=row.started_at,
        ended_at=row.ended_at,
        ending=row.ending,
    )

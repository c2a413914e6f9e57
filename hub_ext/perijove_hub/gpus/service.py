"""What is told of GPUs, and to whom."""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy import func, select

from perijove.types.base import Principal
from perijove.types.gpus import Gpu, GpuHolder, GpuInventory
from perijove_hub.context import Context
from perijove_hub.gpus import leases
from perijove_hub.store.models import GpuLeaseRow, GpuRow


def show(context: Context, principal: Principal) -> GpuInventory:
    """Return what is free; administrators also see who holds what, and what has vanished."""
    admin = principal.kind == "user" and principal.admin
    with context.database.reading() as session:
        free, total = leases.free(session)
        holders: dict[str, list[GpuHolder]] = defaultdict(list)
        lease = GpuLeaseRow
        for row in session.execute(
            select(lease.gpu, lease.kind, lease.holder, lease.user, func.count(), lease.acquired_at)
            .group_by(lease.gpu, lease.kind, lease.holder, lease.user, lease.acquired_at)
            .order_by(lease.acquired_at)
        ):
            gpu, kind, holder, user, shares, since = row
            holders[gpu].append(
                GpuHolder(kind=kind, holder=holder, user=user, shares=shares, since=since)
            )
        rows = session.scalars(select(GpuRow).order_by(GpuRow.id)).all()
        return GpuInventory(
            free=free,
            total=total,
            devices=[
                Gpu(
                    id=row.id,
                    model=row.model,
                    memory_mb=row.memory_mb,
                    shares=row.shares,
                    free_shares=_unused(row, holders[row.id]),
                    present=row.present,
                    holders=holders[row.id] if admin else None,
                )
                for row in rows
                if row.present or (admin and holders[row.id])
            ],
        )


def _unused(row: GpuRow, holders: list[GpuHolder]) -> int:
    return max(0, row.shares - sum(one.shares for one in holders)) if row.present else 0

"""The worker's part of GPUs: what the machine has, and leases whose holder is gone."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from perijove_hub.context import Context
from perijove_hub.gpus import inventory
from perijove_hub.store import audit
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import GpuLeaseRow, ReplicaRow, RunRow
from perijove_hub.usage import alive
from perijove_hub.usage.alive import Alive

log = logging.getLogger(__name__)

#: How long a holder may take to come up after it has its lease.
STARTING = timedelta(minutes=2)
#: How often in a row a holder is missed before it loses its lease.
MISSES = 2

Lease = tuple[str, str, datetime]
"""Kind, holder, and when it was acquired: a holder that came back has another one."""


class GpuDuty:
    """Reads the inventory and takes back leases; bears being killed anywhere."""

    name = "gpus"
    period = 30.0

    def __init__(self, context: Context) -> None:
        self._context = context
        self._missed: Counter[Lease] = Counter()
        self._trouble = ""

    def tick(self) -> None:
        """Look at the machine, then at who holds what."""
        self._inventory()
        with self._context.database.reading() as session:
            leased = set(_leases(session))
        if leased:
            self._reconcile(leased)

    def _inventory(self) -> None:
        settings = self._context.settings.gpus
        try:
            devices = inventory.look(settings)
        except inventory.Unknown as error:
            if str(error) != self._trouble:
                log.warning("GPUs stay as they were last known: %s", error)
            self._trouble = str(error)
            return
        self._trouble = ""
        with self._context.database.session() as session:
            inventory.record(session, devices, shares=settings.shares)

    def _reconcile(self, leased: set[Lease]) -> None:
        """Count the misses of leases read *before* the look, and release at the second."""
        seen = alive.look(self._context)
        with self._context.database.session() as session:
            running = _holders(session, seen)
            late = database_now(session) - STARTING
            missed = {
                lease
                for lease in leased
                if (holders := running.get(lease[0])) is not None
                and lease[1] not in holders
                and lease[2] < late
            }
            self._missed = Counter({lease: self._missed[lease] + 1 for lease in missed})
            for lease in [one for one, count in self._missed.items() if count >= MISSES]:
                _release(session, lease)
                del self._missed[lease]


def _leases(session: Session) -> Iterator[Lease]:
    rows = session.execute(
        select(GpuLeaseRow.kind, GpuLeaseRow.holder, GpuLeaseRow.acquired_at).distinct()
    )
    yield from ((row.kind, row.holder, row.acquired_at) for row in rows)


def _holders(session: Session, seen: Alive) -> dict[str, set[str]]:
    """Return who may hold leases, by kind; a kind that cannot be known now is left out.

    Too many rather than too few: what any of engine, Hub and database thinks alive is alive.
    Remote kernels are left out: their own duty gives back what they hold, and keeps it for a
    while for one that died and is restarted.
    """
    found: dict[str, set[str]] = {}
    containers = seen.containers
    if containers is None:
        return found
    if seen.servers is not None:
        found["workspace"] = {server.holder for server in seen.servers}
    found["run"] = set(session.scalars(select(RunRow.id).where(RunRow.state == "running")))
    found["replica"] = set(
        session.scalars(
            select(ReplicaRow.workload).where(ReplicaRow.state.in_(("starting", "ready")))
        )
    )
    for container in containers:
        if container.kind in found:
            found[container.kind].add(container.holder)
    return found


def _release(session: Session, lease: Lease) -> None:
    kind, holder, acquired_at = lease
    gone = session.scalars(
        delete(GpuLeaseRow)
        .where(
            GpuLeaseRow.kind == kind,
            GpuLeaseRow.holder == holder,
            GpuLeaseRow.acquired_at == acquired_at,
        )
        .returning(GpuLeaseRow.gpu)
    ).all()
    if gone:
        gpus = sorted(set(gone))
        log.warning("%s %s is gone: released %s", kind, holder, ", ".join(gpus))
        audit.record(session, "worker", "gpu.release", holder, kind=kind, gpus=gpus)

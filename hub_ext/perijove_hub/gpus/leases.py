"""Who holds which GPU. The table's key, device and share, is what keeps a share with one holder."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from perijove_hub.store.clock import database_now
from perijove_hub.store.models import GpuLeaseRow, GpuRow


def acquire(
    session: Session, *, kind: str, holder: str, user: str, gpus: float
) -> list[str] | None:
    """Lease ``gpus`` devices, all or none, and return their ids.

    A fraction below 1 is that part of one device's shares, rounded up. ``None`` when not
    enough is free: the caller waits and asks again. ``kind`` and ``holder`` that ask again get
    what they hold; when they ask for another amount, or a device of theirs has vanished, they
    give it back and get anew. Raises ``ValueError`` for an amount that nobody can hold.
    """
    if not _allowed(gpus):
        raise ValueError(f"gpus is {gpus}: give a whole number, or a fraction below 1")
    devices = _locked(session)
    held = _of_holder(session, kind, holder)
    if held and _fits(held, devices, gpus):
        return sorted({lease.gpu for lease in held})
    if held:
        release(session, kind, holder)
    if gpus == 0:
        return []
    chosen = _choose(devices, _taken(session), gpus)
    if chosen is None:
        return None
    now = database_now(session)
    for gpu, share in chosen:
        session.add(
            GpuLeaseRow(gpu=gpu, share=share, kind=kind, holder=holder, user=user, acquired_at=now)
        )
    session.flush()
    return sorted({gpu for gpu, _ in chosen})


def release(session: Session, kind: str, holder: str) -> None:
    """Give back everything a holder has; nothing happens when that is nothing."""
    session.execute(
        delete(GpuLeaseRow)
        .where(GpuLeaseRow.kind == kind, GpuLeaseRow.holder == holder)
        .execution_options(synchronize_session="fetch")
    )


def free(session: Session) -> tuple[float, int]:
    """Return how many devices are free, shares counting as fractions, and how many there are."""
    taken = _taken(session)
    devices = _present(session)
    unused = sum(len(_free_shares(device, taken)) / device.shares for device in devices)
    return round(unused, 6), len(devices)


def possible(session: Session, gpus: float) -> bool:
    """Tell whether this machine could ever lease ``gpus``, were all of it free."""
    return _choose(_present(session), {}, gpus) is not None if gpus else True


def _allowed(gpus: float) -> bool:
    return math.isfinite(gpus) and gpus >= 0 and (gpus < 1 or gpus == int(gpus))


def _locked(session: Session) -> Sequence[GpuRow]:
    """Return the present devices, kept from every other ``acquire`` until the transaction ends.

    Always in the same order, so that two callers never wait for each other. SQLite has no such
    lock and needs none: a writing transaction there is alone from its start.
    """
    rows = select(GpuRow).where(GpuRow.present).order_by(GpuRow.id)
    return session.scalars(rows.with_for_update().execution_options(populate_existing=True)).all()


def _present(session: Session) -> Sequence[GpuRow]:
    return session.scalars(select(GpuRow).where(GpuRow.present).order_by(GpuRow.id)).all()


def _taken(session: Session) -> dict[str, set[int]]:
    taken: dict[str, set[int]] = defaultdict(set)
    for gpu, share in session.execute(select(GpuLeaseRow.gpu, GpuLeaseRow.share)):
        taken[gpu].add(share)
    return taken


def _of_holder(session: Session, kind: str, holder: str) -> Sequence[GpuLeaseRow]:
    return session.scalars(
        select(GpuLeaseRow).where(GpuLeaseRow.kind == kind, GpuLeaseRow.holder == holder)
    ).all()


def _shares(device: GpuRow, gpus: float) -> int:
    """How many of a device's shares a fraction takes; 0.7 of 10 is 7 and not 8."""
    return math.ceil(round(gpus * device.shares, 9))


def _fits(held: Sequence[GpuLeaseRow], devices: Sequence[GpuRow], gpus: float) -> bool:
    """Tell whether what is held is exactly what ``gpus`` asks for, on devices still there."""
    by_id = {device.id: device for device in devices}
    holding = {lease.gpu for lease in held}
    if not holding <= by_id.keys():
        return False
    if gpus < 1:
        return len(holding) == 1 and len(held) == _shares(by_id[held[0].gpu], gpus)
    return len(holding) == gpus and len(held) == sum(by_id[gpu].shares for gpu in holding)


def _free_shares(device: GpuRow, taken: dict[str, set[int]]) -> list[int]:
    used = taken.get(device.id, set())
    return [share for share in range(device.shares) if share not in used]


def _choose(
    devices: Sequence[GpuRow], taken: dict[str, set[int]], gpus: float
) -> list[tuple[str, int]] | None:
    """Pick devices and shares for ``gpus``, or ``None`` when there are too few."""
    if gpus < 1:
        return _part(devices, taken, gpus)
    unused = [device for device in devices if not taken.get(device.id)]
    if len(unused) < gpus:
        return None
    return [(device.id, share) for device in unused[: int(gpus)] for share in range(device.shares)]


def _part(
    devices: Sequence[GpuRow], taken: dict[str, set[int]], gpus: float
) -> list[tuple[str, int]] | None:
    """Pick shares of the fullest device that has room, so that whole ones stay free."""
    fitting = [
        (len(open_), device.id, open_[: _shares(device, gpus)])
        for device in devices
        if len(open_ := _free_shares(device, taken)) >= _shares(device, gpus)
    ]
    if not fitting:
        return None
    _, gpu, shares = min(fitting)
    return [(gpu, share) for share in shares]

"""The machine's GPUs: how many are free, and for administrators who holds the others."""

from __future__ import annotations

from perijove.types.base import Instant, Wire


class GpuHolder(Wire):
    """Who holds shares of a device."""

    kind: str
    """``workspace``, ``kernel``, ``run`` or ``replica``."""
    holder: str
    """``USER/SERVER`` of a workspace, else an id."""
    user: str
    shares: int
    since: Instant


class Gpu(Wire):
    """One device, or one instance of a partitioned one."""

    id: str
    model: str = ""
    memory_mb: int | None = None
    shares: int
    """How many may use it at once."""
    free_shares: int
    present: bool = True
    """False for one that has vanished while somebody held it."""
    holders: list[GpuHolder] | None = None
    """For administrators; null for everyone else."""


class GpuInventory(Wire):
    """All devices, and how many of them are free."""

    free: float
    """Devices; shares count as fractions."""
    total: int
    devices: list[Gpu] = []

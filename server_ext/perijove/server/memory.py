"""This server's memory, as its container's control group counts it (cgroup v1 and v2)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
MIB = 2**20
#: What stands for "no limit"; cgroup v1 writes a number near 2**63.
UNLIMITED = 2**60


@dataclass(frozen=True)
class Memory:
    """Numbers in MiB; ``None`` where the kernel does not say."""

    used_mb: float | None
    limit_mb: float | None
    peak_mb: float | None
    kills: int
    """Processes the kernel has killed here for want of memory."""


def read(root: Path = ROOT) -> Memory:
    """Read the counters of this container; everything unknown outside of one."""
    if (root / "memory.max").exists():
        return Memory(
            used_mb=_mib(root / "memory.current"),
            limit_mb=_mib(root / "memory.max"),
            peak_mb=_mib(root / "memory.peak"),
            kills=_field(root / "memory.events", "oom_kill"),
        )
    group = root / "memory"
    limit = _mib(group / "memory.limit_in_bytes")
    if limit is None:
        # No limit: not a container of ours, and the whole machine's numbers are not this one's.
        return Memory(None, None, None, 0)
    return Memory(
        used_mb=_mib(group / "memory.usage_in_bytes"),
        limit_mb=limit,
        peak_mb=_mib(group / "memory.max_usage_in_bytes"),
        kills=_field(group / "memory.oom_control", "oom_kill"),
    )


def _mib(path: Path) -> float | None:
    try:
        value = int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return None if value >= UNLIMITED else round(value / MIB, 1)


def _field(path: Path, name: str) -> int:
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name} ")), 0)

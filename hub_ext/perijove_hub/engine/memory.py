"""What the kernel says of a container's memory: peak, kills, and which process was killed."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

#: Where control groups are mounted, on the host and in containers alike.
CGROUPS = Path("/sys/fs/cgroup")
#: The kernel's line about a kill. ``task_memcg`` holds the container's id.
_KILL = re.compile(r"oom-kill:.*task_memcg=(?P<group>[^,]*),task=(?P<task>[^,]*),pid=(?P<pid>\d+)")


@dataclass(frozen=True)
class Memory:
    """Memory of one control group, in bytes."""

    peak: int
    limit: int | None
    kills: int
    """How many processes were killed because there was not enough."""


def of_process(pid: int, container: str) -> Memory | None:
    """Return the memory of ``container``, whose first process the host calls ``pid``.

    ``None`` when the process is gone, or is not on this machine.
    """
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return None
    groups = dict(line.split(":", 2)[1:] for line in lines if line.count(":") >= 2)
    group = groups.get("memory", groups.get("", ""))
    # One that is ending is in the machine's own group already.
    if container not in group:
        return None
    return read(CGROUPS / ("memory" if "memory" in groups else "") / group.lstrip("/"))


def own() -> Memory | None:
    """Return the memory of the container this runs in, as seen from inside."""
    return read(CGROUPS / "memory") or read(CGROUPS)


def read(group: Path) -> Memory | None:
    """Read the control group at ``group``, of version 1 or 2; ``None`` when it is neither."""
    try:
        if (group / "memory.max").exists():
            events = _pairs(group / "memory.events")
            # memory.peak is there since Linux 5.19.
            peak = _number(group / "memory.peak")
            current = _number(group / "memory.current")
            limit = _number(group / "memory.max")
            return Memory(peak or current or 0, limit, events.get("oom_kill", 0))
        events = _pairs(group / "memory.oom_control")
        limit = _number(group / "memory.limit_in_bytes")
        # Version 1 writes "no limit" as the largest number of pages.
        limit = None if limit is None or limit >= 2**60 else limit
        peak = _number(group / "memory.max_usage_in_bytes")
    except OSError:
        return None
    return None if peak is None else Memory(peak, limit, events.get("oom_kill", 0))


def killed(container: str) -> str | None:
    """Name the process of ``container`` that the kernel killed last: ``python (process 12)``.

    ``None`` when the kernel's log cannot be read, which takes root, or no longer says.
    """
    try:
        descriptor = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    found = None
    try:
        while True:
            try:
                record = os.read(descriptor, 8192).decode(errors="replace")
            except BrokenPipeError:
                # Overwritten while we read: the next read goes on with what is left.
                continue
            match = _KILL.search(record)
            if match and container in match["group"]:
                found = f"{match['task']} (process {match['pid']})"
    except OSError:
        return found
    finally:
        os.close(descriptor)


def _pairs(path: Path) -> dict[str, int]:
    lines = (line.split() for line in path.read_text().splitlines())
    return {line[0]: int(line[1]) for line in lines if len(line) == 2 and line[1].isdigit()}


def _number(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except FileNotFoundError:
        return None
    return int(text) if text.isdigit() else None

"""What a container writes outside its mounts, and whether the engine can limit it by itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from perijove_hub.engine.client import reaching


def layer_bytes(client: Any, container: str) -> int:
    """Return what a container wrote outside its mounts, in bytes; 0 for an unknown one.

    The engine walks the layer for it: ask rarely. Raises ``EngineDown``.
    """
    with reaching():
        found = client.api.containers(all=True, size=True, filters={"id": container})
    return int(found[0].get("SizeRw", 0)) if found else 0


def storage_options(info: Mapping[str, Any], disk_mb: int | None) -> dict[str, str] | None:
    """Return ``storage_opt`` for a limit the engine enforces; ``None`` where it cannot.

    ``info`` is the engine's own description. Only overlay2 on XFS with project quotas, btrfs
    and zfs can; elsewhere a watch has to do, with this module
    and ``files.measure``.
    """
    if disk_mb is None or not _limits(info):
        return None
    return {"size": f"{disk_mb}m"}


def _limits(info: Mapping[str, Any]) -> bool:
    driver = info.get("Driver")
    if driver in ("btrfs", "zfs"):
        return True
    backing = dict(info.get("DriverStatus") or ()).get("Backing Filesystem")
    if driver != "overlay2" or backing != "xfs":
        return False
    # The engine does not say whether the file system was mounted with project quotas.
    return bool({"prjquota", "pquota"} & _options_at(Path(str(info.get("DockerRootDir", "/")))))


def _options_at(folder: Path) -> set[str]:
    """Return the options of the mount that ``folder`` is in."""
    best, found = -1, set[str]()
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        before, _, after = line.partition(" - ")
        place = before.split()[4]
        if folder.is_relative_to(place) and len(place) > best:
            best, found = len(place), set(after.split()[-1].split(","))
    return found

"""What every container of ours may not do. The one place where containers are hardened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: The images' user, and the owner of homes when the Hub runs as root.
UID = GID = 1000
#: Where a user's home is, in every image.
HOME = "/home/perijove"
#: Processes and threads of one container.
PIDS = 2048
#: The scheduler's period in microseconds.
_PERIOD = 100_000


@dataclass(frozen=True)
class Mount:
    """A folder of the engine's host, or a volume, seen in a container."""

    source: str
    """An absolute path, or the name of a volume."""
    target: str
    read_only: bool = False
    propagation: str | None = None
    """``rslave`` for a folder that gets mounts of its own later."""


@dataclass(frozen=True)
class Sandbox:
    """Limits and mounts of one container; everything it does not allow is forbidden.

    No root, no capabilities, no new privileges, nothing writable but mounts and ``/tmp``;
    builds of images, and nothing else, are root inside with a few capabilities.
    """

    network: str
    memory_mb: int
    cpu: float = 1.0
    pids: int = PIDS
    gpus: Sequence[str] = ()
    """Device ids, as leased."""
    mounts: Sequence[Mount] = ()
    user: str = f"{UID}:{GID}"
    groups: Sequence[int] = ()
    """Numbers of further operating-system groups, for shared folders."""
    tmp_mb: int = 1024
    capabilities: Sequence[str] = ()
    read_only: bool = True
    labels: dict[str, str] = field(default_factory=dict)

    def host_config(self) -> dict[str, Any]:
        """Return arguments of docker-py's ``APIClient.create_host_config``."""
        config: dict[str, Any] = {
            "network_mode": self.network,
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
            "pids_limit": self.pids,
            "mem_limit": self.memory_mb * 2**20,
            # The same as memory: no swap, so that the limit is the limit.
            "memswap_limit": self.memory_mb * 2**20,
            "cpu_period": _PERIOD,
            "cpu_quota": round(self.cpu * _PERIOD),
            "read_only": self.read_only,
            "init": True,
            "tmpfs": {"/tmp": f"rw,nosuid,nodev,exec,mode=1777,size={self.tmp_mb}m"},  # noqa: S108
            "mounts": [_mount(mount) for mount in self.mounts],
            "group_add": [str(number) for number in self.groups],
            "log_config": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "2"}},
            "restart_policy": {"Name": "no"},
        }
        if self.capabilities:
            config["cap_add"] = list(self.capabilities)
        if self.gpus:
            config["device_requests"] = [
                {"Driver": "nvidia", "DeviceIDs": list(self.gpus), "Capabilities": [["gpu"]]}
            ]
        return config


def _mount(mount: Mount) -> dict[str, Any]:
    is_path = Path(mount.source).is_absolute()
    content: dict[str, Any] = {
        "Target": mount.target,
        "Source": mount.source,
        "Type": "bind" if is_path else "volume",
        "ReadOnly": mount.read_only,
    }
    if is_path:
        content["BindOptions"] = {"Propagation": mount.propagation or "rprivate"}
    return content

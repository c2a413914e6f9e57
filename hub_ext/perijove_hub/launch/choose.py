"""Which launcher serves this Perijove."""

from __future__ import annotations

from perijove_hub.context import Context
from perijove_hub.launch.local import LocalLauncher
from perijove_hub.launch.workload import Launcher


def launcher(context: Context) -> Launcher:
    """Return the launcher that ``perijove up`` chose; it connects on first use."""
    if context.topology.spawner == "docker":
        # Docker's client takes a while to import, and local mode does without.
        from perijove_hub.launch.docker import DockerLauncher

        return DockerLauncher(context)
    return LocalLauncher(context.data.workloads)

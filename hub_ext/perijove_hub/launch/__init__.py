"""The launcher seam: one ``Workload``, started by local processes, Docker or Kubernetes."""

from __future__ import annotations

from perijove_hub.launch.workload import (
    ImageMissing,
    Kind,
    Launcher,
    LaunchError,
    NameTaken,
    Phase,
    Status,
    Workload,
)

__all__ = [
    "ImageMissing",
    "Kind",
    "LaunchError",
    "Launcher",
    "NameTaken",
    "Phase",
    "Status",
    "Workload",
]

"""What a launcher starts, and what it can say about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from perijove_hub.engine import Mount


class Kind(StrEnum):
    """A ``task`` ends by itself; a ``service`` listens on a port until it is stopped."""

    task = "task"
    service = "service"


@dataclass(frozen=True)
class Workload:
    """A process to run away from the control plane, which may die meanwhile.

    ``name`` is made of the record's id and attempt, so that a second start of the same
    attempt collides instead of running twice.
    """

    name: str
    kind: Kind
    command: tuple[str, ...]
    """The program and its arguments; ``python`` is one in which Perijove is installed."""
    environment: dict[str, str] = field(default_factory=dict)
    """Not secret; may be written to disk and shown."""
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    """Given to the process as environment and never written to disk."""
    directory: Path | None = None
    """Working directory and ``HOME``, made for this workload; ``None`` for a new empty one."""
    image: str | None = None
    """The engine's id of an image, ``sha256:…``; local processes have none."""
    memory_mb: int | None = None
    """Resident memory of the process tree, MiB."""
    cpu: float | None = None
    """Cores; local processes have no limit."""
    gpus: tuple[str, ...] = ()
    """Device ids, as leased."""
    mounts: tuple[Mount, ...] = ()
    """Folders besides ``directory``; containers only."""
    groups: tuple[int, ...] = ()
    """Operating-system groups of its process, for shared folders; containers only."""
    disk_mb: int | None = None
    """Most that its directory and log may take; local processes have no limit."""
    timeout_s: float | None = None
    """Wall-clock seconds."""
    grace_s: float = 10
    """Seconds between SIGTERM and SIGKILL."""
    labels: dict[str, str] = field(default_factory=dict)
    """``kind`` (``run``, ``replica``, ``build`` or ``kernel``), ``id``, ``attempt``."""


class Phase(StrEnum):
    """Where a workload is."""

    running = "running"
    ended = "ended"
    gone = "gone"
    """No process and no record of how it ended."""


@dataclass(frozen=True)
class Status:
    """What is known of a workload."""

    name: str
    phase: Phase
    labels: dict[str, str]
    exit_code: int | None = None
    """Exit status; negative for a signal; null while it runs or when unknown."""
    cause: str | None = None
    """Why it was ended: ``memory``, ``disk``, ``timeout``, ``stopped``, or ``engine`` when the
    engine was shut down under it."""
    peak_memory_mb: float | None = None
    address: str | None = None
    """Where a service's ports are reached; null for one that does not run."""
    started_at: datetime | None = None
    ended_at: datetime | None = None


class LaunchError(Exception):
    """A workload could not be started; nothing of it runs."""


class ImageMissing(LaunchError):
    """The engine does not have the workload's image."""


class NameTaken(Exception):
    """A workload of this name was started before; adopt it."""


class Launcher(Protocol):
    """Starts workloads and finds them again after a restart of the control plane."""

    def start(self, workload: Workload) -> None:
        """Start it, or raise ``NameTaken``."""

    def poll(self, name: str) -> Status:
        """Say how it stands; ``Phase.gone`` for a name nobody knows."""

    def stop(self, name: str) -> None:
        """Ask it to end, and end it after its grace; returns at once."""

    def logs(self, name: str, offset: int, limit: int) -> tuple[bytes, int]:
        """Return at most ``limit`` bytes of output from byte ``offset``, and the next offset."""

    def directory(self, name: str) -> Path:
        """Return the folder with the workload's files."""

    def list(self) -> list[Status]:
        """Every workload this launcher has a trace of."""

    def remove(self, name: str) -> None:
        """Forget an ended workload and delete its files."""

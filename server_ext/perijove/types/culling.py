"""Wire types of culling: what a workspace is busy with, and when it is shut off."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from perijove.types.base import Instant, Wire

#: A named server's name; empty for the default one.
ServerName = Annotated[str, StringConstraints(max_length=255)]


class BusyKind(StrEnum):
    """What keeps a workspace alive while nobody touches it."""

    kernel = "kernel"
    terminal = "terminal"
    remote_kernel = "remote kernel"
    job = "job"


class Busy(Wire):
    """One thing that is running."""

    kind: BusyKind
    name: Annotated[str, StringConstraints(max_length=500)]
    """A notebook's path, a terminal's command, a job's name."""


class ActivityReport(Wire):
    """What a workspace says of itself, about twice a minute."""

    server: ServerName = ""
    busy: list[Busy] = Field(default=[], max_length=100)
    last_activity: Instant
    """When a person or a kernel last did something, as the Jupyter server knows it."""
    checkpointed: bool = False
    """Set once, in answer to ``stopping``: every open notebook has a checkpoint."""


class Idleness(StrEnum):
    """Where a workspace is on its way to being shut off."""

    active = "active"
    idle = "idle"
    warned = "warned"
    """It will be shut off at ``shut_off_at`` unless something happens."""
    stopping = "stopping"
    """It is to make its checkpoints; then it is stopped."""


class IdleState(Wire):
    """When a workspace is shut off, and why not yet."""

    state: Idleness
    server: ServerName = ""
    idle_minutes: int
    """Minutes without activity after which it is shut off."""
    active_at: datetime
    """When it was last active."""
    shut_off_at: datetime
    """When it will be shut off if nothing happens from now on."""
    keep_until: datetime | None = None
    """Kept alive by the user until then."""
    reason: str | None = None
    """Why it is stopping, where that is not that nobody uses it."""
    busy: list[Busy] = []
    larger: str | None = None
    """The next larger size the user may choose, such as ``medium (4096 MiB)``."""


class KeepAlive(Wire):
    """Keep a workspace for one more stretch of its idle time."""

    server: ServerName = ""

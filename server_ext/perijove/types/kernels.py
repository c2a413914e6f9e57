"""Remote kernels: containers of their own for single kernels of a workspace."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from perijove.types.base import Name, Wire
from perijove.types.images import Reference

#: The sockets of a kernel, and the way to tell it what it shall be.
CHANNELS = ("shell", "iopub", "stdin", "control", "hb", "setup")


class KernelState(StrEnum):
    """Where a remote kernel is."""

    queued = "queued"
    """Waits for a GPU or for its turn; ``reason`` says for what."""
    starting = "starting"
    running = "running"
    stopping = "stopping"
    ended = "ended"
    """Stopped by somebody or for being idle, or ended by itself without an error."""
    failed = "failed"
    """Could not start, or died; ``reason`` says why."""


#: States that nothing leads out of but a restart.
OVER = frozenset({KernelState.ended, KernelState.failed})


class KernelOffer(Wire):
    """A kernel that the caller may start: a size with an image."""

    name: str
    """Of the kernel spec: ``perijove-SIZE``, or ``perijove-SIZE-IMAGE``."""
    display_name: str
    size: str
    image: str | None
    """``NAME`` of an image; null where kernels are processes of the server's machine."""
    cpu: float
    memory_mb: int
    gpus: float
    price: float
    """Per hour."""
    description: str = ""


class KernelCreate(Wire):
    """Ask for a kernel."""

    size: Name
    image: Reference | None = None
    """``NAME`` or ``NAME@VERSION``; null for the default image."""
    server: Annotated[str, Field(max_length=255)] = ""
    """The named server it belongs to; it ends with that."""


class KernelRestart(Wire):
    """Replace a kernel's process by a new one."""

    attempt: int | None = None
    """The attempt to replace: when it is replaced already, nothing happens. Null for whichever
    it is."""


class Kernel(Wire):
    """A remote kernel as its owner sees it."""

    id: str
    user: str
    server: str
    group: str | None
    """Whom it is charged to."""
    image: str
    size: str
    state: KernelState
    reason: str | None
    """What it waits for, or why it ended, in a sentence."""
    attempt: int
    """Counts restarts, from 1."""
    stopped: bool
    """Whether it ends or ended because somebody or a rule asked for it; else it may restart."""
    exit_code: int | None
    """Of its process, when it has ended by itself; negative for a signal."""
    created_at: datetime
    active_at: datetime | None
    """When it last ran something."""
    ended_at: datetime | None

"""Workspaces: what a person starts, in which size, and how the last one ended."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from perijove.types.base import Wire


class Interface(StrEnum):
    """What opens when a workspace has started, where its image has it."""

    lab = "lab"
    notebook = "notebook"
    terminal = "terminal"
    code_server = "code-server"
    rstudio = "rstudio"


class Profile(Wire):
    """What a start asks for; everything left out is the default."""

    image: str | None = Field(default=None, strict=True, max_length=80)
    """``NAME`` for an image's current version, or ``NAME@VERSION``."""
    size: str | None = Field(default=None, strict=True, max_length=63)
    interface: Interface | None = None
    group: str | None = Field(default=None, strict=True, max_length=255)
    """The group of yours it is charged to; null for your first by name."""
    idle_minutes: int | None = Field(default=None, strict=True)
    """Shut off after so long without activity; null for the default of its size."""


class WorkspaceStop(Wire):
    """Stop one of the caller's own workspaces."""

    server: str = Field(default="", max_length=255)
    """A named server; empty for the default one."""


class Workspace(Wire):
    """A user's server: its profile, whether it runs, and why it last ended."""

    user: str
    server: str
    """The named server; empty for the default one."""
    running: bool
    image: str | None
    """``NAME@VERSION`` of what runs or last ran; null for Perijove's own Python environment."""
    digest: str | None
    size: str | None
    interface: str | None
    group: str | None
    idle_minutes: int | None
    started_at: datetime | None
    ended_at: datetime | None
    ending: str | None
    """Why the last one ended, or what has gone wrong in the one that runs, for people."""


class Size(Wire):
    """What a workspace, remote kernel or job can have."""

    name: str
    description: str
    cpu: float
    """Cores."""
    memory_mb: int
    gpus: float
    price: float
    """Per hour."""
    default: bool


class Sizes(Wire):
    """The sizes a person may choose, and the GPUs that are free now."""

    items: list[Size]
    currency: str
    free_gpus: float
    gpus: int
    """How many devices there are."""

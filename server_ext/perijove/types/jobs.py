"""Jobs: a promoted notebook, its versions, schedule and runs."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import Field

from perijove.types.base import Name, Owned, Visibility, Wire
from perijove.types.images import Reference


class ParameterType(StrEnum):
    """Types a cell tagged ``parameters`` can declare."""

    int = "int"
    float = "float"
    bool = "bool"
    str = "str"
    date = "date"
    datetime = "datetime"
    list = "list"
    dict = "dict"
    choice = "choice"
    any = "any"


class Parameter(Wire):
    """One assignment of the ``parameters`` cell."""

    name: str
    type: ParameterType
    default: Any = None
    required: bool = False
    """True for a bare annotation (``C: float``): every run must give a value."""
    nullable: bool = False
    choices: list[Any] = []
    """The values ``Literal[...]`` allows, when ``type`` is ``choice``."""
    help: str = ""
    """The comment behind the assignment."""


class Schedule(Wire):
    """When a job runs by itself."""

    cron: str = Field(max_length=200)
    """Five fields: minute, hour, day of month, month, day of week."""
    timezone: str = "UTC"
    """IANA name, such as ``Europe/Berlin``."""
    parameters: dict[str, Any] = {}
    paused: bool = False


class ScheduleState(Schedule):
    """A schedule and when it is due next."""

    next_slot: datetime | None = None


class JobInspect(Wire):
    """Ask what promotion would make of a notebook."""

    notebook: dict[str, Any]
    """The notebook as nbformat 4 JSON."""


class Inspection(Wire):
    """What promotion would make of a notebook: the form's fields."""

    parameters: list[Parameter]
    warnings: list[str] = []
    kernel: str | None = None


class Resources(Wire):
    """Limits of one run."""

    memory_mb: int | None = Field(default=None, ge=64, le=1_048_576)
    """Resident memory of the whole process tree, in MiB; null for the platform's default."""
    timeout_s: int | None = Field(default=None, ge=1, le=30 * 86_400)
    """Wall-clock seconds from start; null for the platform's default."""


class JobCreate(Wire):
    """Promote a notebook: a new job, or a new version of the caller's job of that name."""

    name: Name
    notebook: dict[str, Any]
    """The notebook as nbformat 4 JSON."""
    path: str = Field(default="", max_length=1024)
    """Where it lay in the owner's home, for people; never opened."""
    schedule: Schedule | None = None
    resources: Resources = Resources()
    visibility: Visibility | None = None
    """Null for private, or, with a new version, for what the job has."""
    group: str | None = None
    image: Reference | None = None
    """The image the notebook ran in, for its runs; null for the platform's default."""


class JobUpdate(Wire):
    """Change what may change: a null leaves the field as it is."""

    schedule: Schedule | None = None
    unschedule: bool = False
    resources: Resources | None = None
    visibility: Visibility | None = None
    group: str | None = None


class JobVersion(Wire):
    """An immutable snapshot of a job's notebook and parameters."""

    version: int
    notebook_sha256: str
    parameters: list[Parameter]
    path: str = ""
    image: str | None = None
    """``NAME@VERSION`` of the image its runs start from; null for the platform's default."""
    created_by: str
    created_at: datetime


class RunState(StrEnum):
    """A run's life: queued → running → one of the rest."""

    queued = "queued"
    running = "running"
    succeeded = "succeeded"
    failed = "failed"
    cancelled = "cancelled"
    lost = "lost"
    """Its process vanished without saying how it ended."""

    @property
    def terminal(self) -> bool:
        """Whether the run has ended."""
        return self not in (RunState.queued, RunState.running)


class RunCreate(Wire):
    """Run a job now."""

    parameters: dict[str, Any] = {}
    version: int | None = Field(default=None, ge=1, le=2**31 - 1)
    """Null for the latest."""


class Progress(Wire):
    """How far a run's notebook has got, counting code cells that will run."""

    cells_done: int = 0
    cells_total: int = 0
    current_cell: str = ""
    """First line of the cell now running."""


class Run(Wire):
    """One execution of a job's version."""

    id: str
    job_id: str
    job: Name
    version: int
    owner: str
    state: RunState
    reason: str | None = None
    """Why it ended as it did, for people; set whenever ``state`` is failed, cancelled or lost."""
    parameters: dict[str, Any]
    trigger: str
    """``manual`` or ``schedule``."""
    requested_by: str
    slot: datetime | None = None
    attempt: int = 1
    progress: Progress = Progress()
    failed_cell: int | None = None
    """Index of the code cell that raised."""
    peak_memory_mb: float | None = None
    queued_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    has_output: bool = False


class Job(Owned):
    """A promoted notebook."""

    id: str
    name: Name
    latest: JobVersion
    schedule: ScheduleState | None = None
    resources: Resources = Resources()
    last_run: Run | None = None


class LogChunk(Wire):
    """A piece of a workload's log, from byte ``offset``."""

    text: str
    offset: int
    next_offset: int
    """Ask for this offset next."""
    ended: bool
    """True when the workload has ended and everything up to ``next_offset`` was read."""

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
    secret = "secret"  # noqa: S105 - a type's name
    """The name of a secret: the notebook gets its value, the run's record only the name."""
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


class CatchUp(StrEnum):
    """What becomes of slots that were missed while nothing served them."""

    skip = "skip"
    latest = "latest"
    all = "all"


class Overlap(StrEnum):
    """What becomes of a slot that is due while a run of the schedule is not over."""

    skip = "skip"
    queue = "queue"
    """One waits; further ones are left out."""
    allow = "allow"
    cancel = "cancel"
    """The earlier run is cancelled."""


class AfterRule(StrEnum):
    """When a job that runs after others is due."""

    all_success = "all_success"
    any_failure = "any_failure"
    all_done = "all_done"


class Follow(StrEnum):
    """Which version a schedule runs when it names none."""

    latest = "latest"
    approved = "approved"
    """The newest that was approved."""


class Schedule(Wire):
    """When a job runs by itself: exactly one of ``cron``, ``every_s``, ``after``, ``dataset``."""

    cron: str | None = Field(default=None, max_length=200)
    """Five fields: minute, hour, day of month, month, day of week."""
    every_s: int | None = None
    """Seconds of real time between two slots, from 10 to a year, counted from when it was set."""
    after: list[str] = Field(default=[], max_length=20)
    """Ids of jobs: it runs when each of them has ended a run since it last ran."""
    rule: AfterRule = AfterRule.all_success
    """How they have to end; only with ``after``."""
    dataset: str | None = Field(default=None, max_length=1024)
    """Full name of a dataset in the catalog: it runs when a crawl finds it changed."""
    timezone: str = "UTC"
    """IANA name, such as ``Europe/Berlin``; only with ``cron``."""
    parameters: dict[str, Any] = {}
    version: int | Follow = Follow.latest
    catch_up: CatchUp = CatchUp.latest
    catch_up_window_s: int | None = Field(default=None, ge=60)
    """Older slots are left out whatever ``catch_up`` says; null for no limit."""
    overlap: Overlap = Overlap.queue
    paused: bool = False


class ScheduleState(Schedule):
    """A schedule and when it is due next."""

    next_slot: datetime | None = None
    last_slot: datetime | None = None
    """The newest slot that was served or left out."""
    after_names: dict[str, str] = {}
    """Names of the jobs in ``after``, by id, as far as the reader may see them."""


class SchedulePreview(Wire):
    """When a schedule would be due: the next ten slots."""

    text: str
    """The schedule in words."""
    slots: list[datetime] = []
    local: list[str] = []
    """The same slots as clocks show them in the schedule's time zone, with the offset."""


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
    cell_timeout_s: int | None = Field(default=None, ge=1, le=30 * 86_400)
    """Wall-clock seconds of one cell; null for no limit but the run's."""
    max_output_mb: int | None = Field(default=None, ge=1, le=256)
    """MiB of the output notebook; what comes on top is left out, and said. Null for the
    platform's default."""


class Policy(Wire):
    """How a job's runs are queued, tried again and kept."""

    concurrency: int | None = Field(default=None, ge=1, le=1000)
    """Most runs of the job at once; null for no limit but the platform's."""
    priority: int = Field(default=0, ge=-100, le=100)
    """Of queued runs those with the higher number start first."""
    retries: int = Field(default=0, ge=0, le=20)
    """How often a run that failed or was lost is tried again."""
    retry_delay_s: int = Field(default=60, ge=0, le=86_400)
    """Seconds before the first retry."""
    retry_backoff: float = Field(default=2.0, ge=1.0, le=10.0)
    """By what the delay is multiplied from retry to retry; never longer than a day."""
    keep_days: int | None = Field(default=None, ge=1, le=36_500)
    """Days until the outputs of an ended run are deleted; null for ever."""
    keep_failed_days: int | None = Field(default=None, ge=1, le=36_500)
    """The same for runs that did not succeed; null for ``keep_days``."""


class InputFile(Wire):
    """A file that a version keeps with its notebook."""

    path: str = Field(min_length=1, max_length=1024)
    """Relative to the notebook's folder, with ``/``; never upwards."""
    content: str
    """Base64."""


class Input(Wire):
    """What a version says of a file it keeps."""

    path: str
    sha256: str
    bytes: int


class JobCreate(Wire):
    """Promote a notebook: a new job, or a new version of the caller's job of that name."""

    name: Name
    notebook: dict[str, Any]
    """The notebook as nbformat 4 JSON."""
    path: str = Field(default="", max_length=1024)
    """Where it lay in the owner's home, for people; never opened."""
    inputs: list[InputFile] = Field(default=[], max_length=1000)
    """Files that its runs find beside the notebook."""
    schedule: Schedule | None = None
    resources: Resources = Resources()
    policy: Policy | None = None
    """Null leaves a job's as it is; a new one has the defaults."""
    visibility: Visibility | None = None
    """Null for private, or, with a new version, for what the job has."""
    group: str | None = None
    owner_group: str | None = Field(default=None, max_length=255)
    """A group of the caller's that is to own the job with them: its members see, run, change and
    promote it, and a run acts as who promoted its version. Null leaves it as it is."""
    image: Reference | None = None
    """The image the notebook ran in, for its runs; null for the platform's default."""


class JobUpdate(Wire):
    """Change what may change: a null leaves the field as it is.

    What ``schedule``, ``resources`` and ``policy`` do not name stays as it is too, so that two
    who change different things at once lose nothing.
    """

    schedule: Schedule | None = None
    """Its ``parameters`` are replaced together; another way to be due takes the place of the one
    before."""
    unschedule: bool = False
    resources: Resources | None = None
    policy: Policy | None = None
    seen: dict[str, Any] | None = None
    """The schedule's ``parameters`` as the caller knows them: refused when they are others now."""
    visibility: Visibility | None = None
    """Another than ``group`` takes the job from the group that owns it."""
    group: str | None = None
    owner_group: str | None = Field(default=None, max_length=255)
    """A group of the caller's that is to own it as well."""


class JobVersion(Wire):
    """An immutable snapshot of a job's notebook and parameters."""

    version: int
    digest: str
    """SHA-256 over notebook, inputs, parameters and image: the same for the same version."""
    notebook_sha256: str
    inputs: list[Input] = []
    parameters: list[Parameter]
    path: str = ""
    image: str | None = None
    """``NAME@VERSION`` of the image its runs start from; null for the platform's default."""
    created_by: str
    created_at: datetime
    approved_by: str | None = None
    approved_at: datetime | None = None


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


class Cause(StrEnum):
    """Why a run did not succeed, for programs; ``reason`` says it to people."""

    cell_error = "cell_error"
    memory = "memory"
    disk = "disk"
    timeout = "timeout"
    cell_timeout = "cell_timeout"
    kernel_died = "kernel_died"
    no_kernel = "no_kernel"
    bad_input = "bad_input"
    refused = "refused"
    """Quota, image, or an owner who has left: nothing was started."""
    cancelled = "cancelled"
    lost = "lost"
    """Its process, its worker or the engine vanished."""
    internal = "internal"


class RunCreate(Wire):
    """Run a job now."""

    parameters: dict[str, Any] = {}
    version: int | None = Field(default=None, ge=1, le=2**31 - 1)
    """Null for the latest."""
    priority: int | None = Field(default=None, ge=-100, le=100)
    """Null for the job's."""


class RunAgain(Wire):
    """Run a run again."""

    parameters: dict[str, Any] | None = None
    """Null for those it had; else only the ones that differ from them."""
    latest: bool = False
    """With the job's latest version, not the one it ran with."""


class Artifact(Wire):
    """A file that a run left in its folder ``outputs``."""

    path: str
    """Relative to that folder."""
    sha256: str
    bytes: int


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
    cause: Cause | None = None
    parameters: dict[str, Any]
    trigger: str
    """``manual``, ``schedule``, ``after``, ``dataset``, ``backfill``, ``sweep`` or ``rerun``."""
    requested_by: str
    slot: datetime | None = None
    """The instant it stands for: of its schedule, or of a backfill."""
    attempt: int = 1
    priority: int = 0
    not_before: datetime | None = None
    """A queued run waits until then: a retry's delay."""
    rerun_of: str | None = None
    """The run that it repeats."""
    upstream: dict[str, str] = {}
    """By job's name: the runs after which it ran."""
    progress: Progress = Progress()
    failed_cell: int | None = None
    """Index of the code cell that raised."""
    peak_memory_mb: float | None = None
    queued_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    expected_s: float | None = None
    """Median seconds of the job's last runs that succeeded; null before the first."""
    metrics: dict[str, float] = {}
    """The last value of each ``%metric`` it logged."""
    artifacts: list[Artifact] = []
    has_output: bool = False
    dropped_at: datetime | None = None
    """When retention deleted its output, log and artifacts."""


class Attempt(Wire):
    """One try of a run that was tried again."""

    attempt: int
    state: RunState
    reason: str | None = None
    cause: Cause | None = None
    failed_cell: int | None = None
    """Index of the code cell that raised."""
    has_output: bool = False
    """Whether it left an output notebook that is still kept."""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    peak_memory_mb: float | None = None


class CellTime(Wire):
    """When a code cell ran, or how long it will probably take."""

    number: int
    """Among the code cells that run, from 1."""
    index: int | None = None
    """Among all cells of the output notebook, from 0; null when it is not known."""
    line: str = ""
    """Its first line."""
    started_at: datetime | None = None
    """Null for one that has not run yet."""
    ended_at: datetime | None = None
    expected_s: float | None = None
    """Median seconds of the same cell in the job's last runs that succeeded."""


class CellTimes(Wire):
    """When a run's cells ran, in their order; of a running one also those to come."""

    cells: list[CellTime]
    total: int
    """How many cells will run, as far as it is known."""
    left_out: int = 0
    """Cells that are not in ``cells``, because it has its limit."""


class Job(Owned):
    """A promoted notebook."""

    id: str
    name: Name
    owner_group: str | None = None
    """The group whose members own it as well as ``owner``."""
    latest: JobVersion
    schedule: ScheduleState | None = None
    resources: Resources = Resources()
    policy: Policy = Policy()
    last_run: Run | None = None


class ExportTo(StrEnum):
    """Other schedulers that a job can be written for."""

    airflow = "airflow"


class LogChunk(Wire):
    """A piece of a workload's log, from byte ``offset``."""

    text: str
    offset: int
    next_offset: int
    """Ask for this offset next."""
    ended: bool
    """True when the workload has ended and everything up to ``next_offset`` was read."""

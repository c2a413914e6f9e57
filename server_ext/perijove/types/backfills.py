"""Backfills: one run of a job for every slot of a past range, or every value of a parameter."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from perijove.types.base import Name, Wire

#: Most slots of one backfill.
LARGEST = 10_000


class Every(StrEnum):
    """Steps that clocks know."""

    hour = "hour"
    """Of real time, counted from the start."""
    day = "day"
    """Once per local day, at the start's clock time."""


class Slots(Wire):
    """Slots from ``start`` up to, but not including, ``end``: the job's own when neither ``cron``
    nor ``every`` is given."""

    start: datetime
    """Included. Without an offset: as clocks in ``timezone`` show it; a date is its midnight."""
    end: datetime
    """Not included."""
    cron: str | None = Field(default=None, max_length=200)
    """Five fields, as in a schedule."""
    every: Every | Annotated[int, Field(ge=1, le=366 * 86_400)] | None = None
    """``day``, ``hour``, or seconds of real time; the first slot is ``start``."""
    timezone: str | None = None
    """IANA name; null for the schedule's, or UTC."""


class Range(Wire):
    """Values of one parameter: ``values``, or from ``start`` up to, not including, ``stop``."""

    parameter: str = Field(max_length=255)
    values: list[Any] = Field(default=[], max_length=LARGEST)
    start: int | float | str | None = None
    """A number, or a date for a parameter that is one."""
    stop: int | float | str | None = None
    """Not included, as in Python's ``range``."""
    step: int | float = 1
    """Days, for dates; never 0."""


class Reprocess(StrEnum):
    """What becomes of a slot (or a set of parameters) that the job has run before."""

    none = "none"
    """It is skipped, however that run ended, unless it was cancelled before it began."""
    failed = "failed"
    """It is run again unless its newest run succeeded, waits or is running."""
    all = "all"


class BackfillCreate(Wire):
    """Run a job for a range: exactly one of ``slots`` and ``range``."""

    slots: Slots | None = None
    range: Range | None = None
    bind: dict[str, str] = Field(default={}, max_length=100)
    """Parameters that get the slot, as a clock in its time zone shows it: ``date``, ``datetime``,
    or a format such as ``%Y-%m-%d``."""
    parameters: dict[str, Any] = {}
    """The same for every run."""
    version: int | None = Field(default=None, ge=1, le=2**31 - 1)
    """Null for the latest; it stays that one to the end."""
    reprocess: Reprocess = Reprocess.none
    concurrency: int = Field(default=2, ge=1, le=1000)
    """Most of its runs that wait or run at once."""
    reverse: bool = False
    """Begin with the last."""
    priority: int = Field(default=-10, ge=-100, le=100)
    """Scheduled runs have the job's, 0 unless it says otherwise, so they go first."""
    dry_run: bool = False
    """Say what it would do, and make nothing."""


class BackfillState(StrEnum):
    """A backfill's life."""

    running = "running"
    ended = "ended"
    """Each of its runs has ended, however."""
    cancelled = "cancelled"

    @property
    def terminal(self) -> bool:
        """Whether it makes no further runs and waits for none."""
        return self is not BackfillState.running


class SlotState(StrEnum):
    """How far a slot is; the names of runs' states mean what they mean there."""

    waiting = "waiting"
    """Its run is not made yet."""
    skipped = "skipped"
    """It had a run before, and was not to be run again."""
    unmade = "unmade"
    """The backfill was cancelled before its run was made."""
    queued = "queued"
    running = "running"
    succeeded = "succeeded"
    failed = "failed"
    cancelled = "cancelled"
    lost = "lost"


class BackfillRun(Wire):
    """One slot, or one value, of a backfill."""

    position: int
    """From 0, in order of the range."""
    state: SlotState
    slot: datetime | None = None
    parameters: dict[str, Any]
    run_id: str | None = None
    """Its run, once there is one."""
    earlier_run_id: str | None = None
    """The newest run of the same slot or parameters before the backfill."""
    earlier_state: SlotState | None = None
    """How that stood when the backfill was asked for."""


class Backfill(Wire):
    """A range that a job is run for."""

    id: str | None = None
    """Null for a dry run."""
    job_id: str
    job: Name
    version: int
    state: BackfillState
    reason: str | None = None
    """Why it waits or was cancelled, for people."""
    requested_by: str
    slots: Slots | None = None
    range: Range | None = None
    bind: dict[str, str] = {}
    parameters: dict[str, Any] = {}
    reprocess: Reprocess
    concurrency: int
    reverse: bool
    priority: int
    total: int
    """Slots, those that are skipped too."""
    counts: dict[SlotState, int] = {}
    """How many slots are in which state; states that none is in are left out."""
    plan: list[BackfillRun] = []
    """Each slot; only for a dry run."""
    created_at: datetime | None = None
    ended_at: datetime | None = None

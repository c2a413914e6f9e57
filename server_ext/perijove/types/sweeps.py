"""Sweeps: runs of one job in search of the parameters with the best metric."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import Field

from perijove.types.base import Name, Wire

#: Most trials of one sweep.
LARGEST = 1000


class Method(StrEnum):
    """How a trial's parameters are chosen."""

    grid = "grid"
    """Every combination, in order."""
    random = "random"
    optuna = "optuna"
    """By what earlier trials gave: Optuna's tree-structured Parzen estimator."""


class Kind(StrEnum):
    """What a parameter is drawn from."""

    choice = "choice"
    """One of ``values``; a grid takes nothing else."""
    int = "int"
    """A whole number from ``low`` to ``high``, both included."""
    uniform = "uniform"
    """A number from ``low`` to ``high``."""
    loguniform = "loguniform"
    """The same, evenly in its logarithm; ``low`` is above 0."""


class Dimension(Wire):
    """Where the values of one parameter come from."""

    kind: Kind = Kind.choice
    values: list[Any] = Field(default=[], max_length=LARGEST)
    low: float | None = None
    high: float | None = None
    step: int = Field(default=1, ge=1)
    """Between two whole numbers; only for ``int``."""


class Goal(StrEnum):
    """Which value of the metric is best."""

    min = "min"
    max = "max"


class SweepCreate(Wire):
    """Search the parameters of a job."""

    method: Method = Method.grid
    space: dict[str, Dimension] = Field(min_length=1, max_length=50)
    """By parameter's name."""
    metric: str = Field(min_length=1, max_length=250)
    """The ``%metric`` whose last value counts; a run without it is a failed trial."""
    goal: Goal = Goal.min
    trials: int | None = Field(default=None, ge=1, le=LARGEST)
    """How many runs; null for the whole grid, which it has to be given for the other methods."""
    concurrency: int = Field(default=2, ge=1, le=100)
    """Most of its runs that wait or run at once."""
    max_failures: int | None = Field(default=None, ge=1, le=LARGEST)
    """Failed trials after which no further one is begun; null for no limit."""
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    """The same seed draws the same random parameters."""
    parameters: dict[str, Any] = {}
    """The same for every run."""
    version: int | None = Field(default=None, ge=1, le=2**31 - 1)
    """Null for the latest; it stays that one to the end."""
    priority: int = Field(default=-10, ge=-100, le=100)
    experiment: str | None = Field(default=None, min_length=1, max_length=250)
    """MLflow's experiment of the run above its runs; null for the first that a ``%%experiment``
    of the notebook names, else the job's name."""


class SweepState(StrEnum):
    """A sweep's life."""

    running = "running"
    ended = "ended"
    """Each of its runs has ended."""
    stopped = "stopped"
    """Too many trials failed."""
    cancelled = "cancelled"

    @property
    def terminal(self) -> bool:
        """Whether it makes no further runs and waits for none."""
        return self is not SweepState.running


class TrialState(StrEnum):
    """How a trial stands: as its run does, but for one."""

    queued = "queued"
    running = "running"
    succeeded = "succeeded"
    no_metric = "no_metric"
    """Its run succeeded without logging the metric: it counts as failed."""
    failed = "failed"
    cancelled = "cancelled"
    lost = "lost"


class SweepTrial(Wire):
    """One run of a sweep."""

    number: int
    """From 0, in the order they were begun."""
    parameters: dict[str, Any]
    """The searched ones."""
    state: TrialState
    value: float | None = None
    """Of the metric."""
    run_id: str
    started_at: datetime | None = None
    ended_at: datetime | None = None
    reason: str | None = None
    """Why it counts as failed, for people."""


class Sweep(Wire):
    """A search over a job's parameters."""

    id: str
    job_id: str
    job: Name
    version: int
    state: SweepState
    reason: str | None = None
    """Why it waits, stopped or was cancelled, for people."""
    requested_by: str
    method: Method
    space: dict[str, Dimension]
    metric: str
    goal: Goal
    trials: int
    """How many runs it will have."""
    concurrency: int
    max_failures: int | None = None
    seed: int
    parameters: dict[str, Any] = {}
    priority: int
    counts: dict[TrialState, int] = {}
    """How many trials are in which state; states that none is in are left out."""
    best: SweepTrial | None = None
    tracking_run_id: str | None = None
    """MLflow's run above its runs."""
    tracking_note: str | None = None
    """Why there is none, for people."""
    created_at: datetime
    ended_at: datetime | None = None

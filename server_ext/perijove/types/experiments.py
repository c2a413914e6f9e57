"""Experiments and their runs, as MLflow records them."""

from __future__ import annotations

from datetime import datetime

from perijove.types.base import Wire


class Experiment(Wire):
    """An MLflow experiment the caller may see."""

    id: str
    name: str
    runs: int
    """Finished and running runs, as far as counted (at most 1,000)."""
    last_run_at: datetime | None = None


class TrackedRun(Wire):
    """An MLflow run."""

    id: str
    name: str
    experiment: str
    experiment_id: str
    user: str
    state: str
    """MLflow's status in lower case: ``running``, ``finished``, ``failed``, ``killed``; or
    ``deleted``."""
    started_at: datetime
    ended_at: datetime | None = None
    parameters: dict[str, str] = {}
    metrics: dict[str, float] = {}
    job_run: str | None = None
    """Id of the job's run that logged it, as its notebook said."""

"""Where a run's results come from and where they went."""

from __future__ import annotations

from datetime import datetime

from perijove.types.base import Wire
from perijove.types.experiments import TrackedRun
from perijove.types.jobs import RunState


class RelatedRun(Wire):
    """A job's run, as seen from something else: before or after it, read or made by it."""

    id: str
    job_id: str
    job: str
    owner: str
    state: RunState
    queued_at: datetime


class MadeModel(Wire):
    """A version of a registered model that a run made."""

    model: str
    version: int
    tracked_run: str
    """MLflow's run that logged it."""


class Lineage(Wire):
    """What a run read, what it recorded, and which runs it stands between."""

    upstream: list[RelatedRun] = []
    """The runs after which it ran."""
    downstream: list[RelatedRun] = []
    """The runs that ran after it."""
    datasets: list[str] = []
    """Datasets of the catalog that its queries name; a source's name where none is known. Those
    the reader may not read are left out."""
    tracked: list[TrackedRun] = []
    """MLflow's runs that it logged, newest first; those deleted there are ``deleted``."""
    models: list[MadeModel] = []
    incomplete: str | None = None
    """Why something may be missing, as when MLflow does not answer."""

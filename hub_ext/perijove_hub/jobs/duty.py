"""The worker's part of jobs."""

from __future__ import annotations

from perijove_hub.context import Context
from perijove_hub.jobs.executor import Executor
from perijove_hub.jobs.scheduler import Scheduler
from perijove_hub.jobs.workers import Lease
from perijove_hub.launch import Launcher


class JobDuty:
    """Serves schedules and carries out runs; ``tick`` may be interrupted anywhere."""

    name = "jobs"
    period = 0.5

    def __init__(self, context: Context, launcher: Launcher, *, may_lead: bool = True) -> None:
        self._scheduler = Scheduler(context)
        self.lease = Lease(context, may_lead=may_lead)
        self._executor = Executor(context, launcher, self.lease)

    def tick(self) -> None:
        """Queue what is due, then take every run's next step."""
        self._scheduler.step()
        self._executor.step()

"""Jobs: promote, list, change, delete."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from perijove.types.base import Page, Principal
from perijove.types.jobs import Inspection, Job, JobCreate, JobUpdate, JobVersion, RunState
from perijove_hub.context import Context


class JobSort(StrEnum):
    """Orders of the list of jobs; a minus sorts downwards."""

    name = "name"
    name_down = "-name"
    created = "created_at"
    created_down = "-created_at"
    updated = "updated_at"
    updated_down = "-updated_at"


class JobService:
    """What may be done with jobs, checked against the caller's rights."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def inspect(self, notebook: dict[str, Any]) -> Inspection:
        """Read a notebook's parameters."""
        raise NotImplementedError

    def promote(
        self, principal: Principal, body: JobCreate, *, key: str | None
    ) -> tuple[Job, bool]:
        """Return the job, and whether it is a new one."""
        raise NotImplementedError

    def list(
        self,
        principal: Principal,
        *,
        q: str | None,
        name: str | None,
        owner: str | None,
        state: RunState | None,
        sort: JobSort,
        cursor: str | None,
        limit: int,
    ) -> Page[Job]:
        """List the jobs the caller may see."""
        raise NotImplementedError

    def get(self, principal: Principal, job_id: str) -> Job:
        """Return one job."""
        raise NotImplementedError

    def update(self, principal: Principal, job_id: str, body: JobUpdate) -> Job:
        """Change a job."""
        raise NotImplementedError

    def delete(self, principal: Principal, job_id: str) -> None:
        """Delete a job."""
        raise NotImplementedError

    def versions(
        self, principal: Principal, job_id: str, *, cursor: str | None, limit: int
    ) -> Page[JobVersion]:
        """List a job's snapshots, newest first."""
        raise NotImplementedError

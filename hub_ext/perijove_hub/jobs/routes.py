"""Routes of jobs and their versions."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response, status

from perijove.types.base import Page
from perijove.types.jobs import (
    Inspection,
    Job,
    JobCreate,
    JobInspect,
    JobUpdate,
    RunState,
)
from perijove_hub.api.auth import Promoter, Reader
from perijove_hub.api.body import CheckedRoute
from perijove_hub.api.dependencies import Ctx, IdempotencyKey
from perijove_hub.api.paging import Cursor, Limit
from perijove_hub.jobs.service import JobService, JobSort

router = APIRouter(tags=["jobs"], route_class=CheckedRoute)

Words = Annotated[str | None, Query(max_length=200, description="Part of the name")]
Exact = Annotated[str | None, Query(max_length=255, description="Exactly this value")]


def _jobs(ctx: Ctx) -> JobService:
    return JobService(ctx)


Jobs = Annotated[JobService, Depends(_jobs)]


@router.post("/jobs/inspect")
def inspect_notebook(principal: Reader, jobs: Jobs, body: JobInspect) -> Inspection:
    """Read the parameters a notebook declares, without keeping it."""
    return jobs.inspect(body.notebook)


@router.post(
    "/jobs",
    status_code=status.HTTP_201_CREATED,
    responses={200: {"model": Job, "description": "A new version of the caller's job"}},
)
def create_job(
    principal: Promoter,
    jobs: Jobs,
    body: JobCreate,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> Job:
    """Promote a notebook: a new job, or a new version of the caller's job of that name."""
    job, created = jobs.promote(principal, body, key=idempotency_key)
    if not created:
        response.status_code = status.HTTP_200_OK
    return job


@router.get("/jobs")
def list_jobs(
    principal: Reader,
    jobs: Jobs,
    q: Words = None,
    name: Exact = None,
    owner: Exact = None,
    state: Annotated[RunState | None, Query(description="State of the last run")] = None,
    sort: JobSort = JobSort.name,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[Job]:
    """List the jobs the caller may see."""
    return jobs.list(
        principal,
        q=q,
        name=name,
        owner=owner,
        state=state,
        sort=sort,
        cursor=cursor,
        limit=limit,
    )


@router.get("/jobs/{job_id}")
def get_job(principal: Reader, jobs: Jobs, job_id: str) -> Job:
    """Show one job."""
    return jobs.get(principal, job_id)


@router.patch("/jobs/{job_id}")
def update_job(principal: Promoter, jobs: Jobs, job_id: str, body: JobUpdate) -> Job:
    """Change schedule, limits or who may see a job."""
    return jobs.update(principal, job_id, body)


@router.delete("/jobs/{job_id}", status_code=status.HTTP_204_NO_CONTENT)
def delete_job(principal: Promoter, jobs: Jobs, job_id: str) -> None:
    """Delete a job; its schedule ends and its active runs are cancelled."""
    jobs.delete(principal, job_id)

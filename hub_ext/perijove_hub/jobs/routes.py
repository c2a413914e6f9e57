"""Routes of jobs and their runs."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response, status

from perijove.types.base import Page
from perijove.types.jobs import (
    Inspection,
    Job,
    JobCreate,
    JobInspect,
    JobUpdate,
    JobVersion,
    LogChunk,
    Run,
    RunCreate,
    RunState,
)
from perijove_hub.api.auth import Promoter, Reader, Runner
from perijove_hub.api.body import CheckedRoute
from perijove_hub.api.dependencies import Ctx, IdempotencyKey
from perijove_hub.api.paging import Cursor, Limit
from perijove_hub.jobs.render import HTML_HEADERS, as_html
from perijove_hub.jobs.runs import RunService
from perijove_hub.jobs.service import JobService, JobSort
from perijove_hub.launch.choose import launcher

router = APIRouter(tags=["jobs"], route_class=CheckedRoute)

Offset = Annotated[int, Query(ge=0, le=2**53, description="First byte of the log to return")]
Words = Annotated[str | None, Query(max_length=200, description="Part of the name")]
Exact = Annotated[str | None, Query(max_length=255, description="Exactly this value")]


def _jobs(ctx: Ctx) -> JobService:
    return JobService(ctx)


def _runs(ctx: Ctx) -> RunService:
    return RunService(ctx, launcher(ctx))


Jobs = Annotated[JobService, Depends(_jobs)]
Runs = Annotated[RunService, Depends(_runs)]


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


@router.get("/jobs/{job_id}/versions")
def list_job_versions(
    principal: Reader, jobs: Jobs, job_id: str, cursor: Cursor = None, limit: Limit = 50
) -> Page[JobVersion]:
    """List a job's snapshots, newest first."""
    return jobs.versions(principal, job_id, cursor=cursor, limit=limit)


@router.post("/jobs/{job_id}/runs", status_code=status.HTTP_201_CREATED)
def create_run(
    principal: Runner,
    runs: Runs,
    job_id: str,
    body: RunCreate,
    idempotency_key: IdempotencyKey = None,
) -> Run:
    """Run a job now."""
    return runs.create(principal, job_id, body, key=idempotency_key)


@router.get("/jobs/{job_id}/runs")
def list_job_runs(
    principal: Reader,
    runs: Runs,
    job_id: str,
    state: RunState | None = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[Run]:
    """List a job's runs, newest first."""
    return runs.list(principal, job_id, state=state, cursor=cursor, limit=limit)


@router.get("/runs/{run_id}")
def get_run(principal: Reader, runs: Runs, run_id: str) -> Run:
    """Show one run and how far it has got."""
    return runs.get(principal, run_id)


@router.post("/runs/{run_id}/cancel")
def cancel_run(principal: Runner, runs: Runs, run_id: str) -> Run:
    """Cancel a run; one that has ended stays as it is."""
    return runs.cancel(principal, run_id)


@router.get("/runs/{run_id}/logs")
def get_run_logs(principal: Reader, runs: Runs, run_id: str, offset: Offset = 0) -> LogChunk:
    """Read a run's log from a byte on, while it runs and afterwards."""
    return runs.logs(principal, run_id, offset)


@router.get("/runs/{run_id}/notebook", response_model=dict[str, Any])
def get_run_notebook(principal: Reader, runs: Runs, run_id: str) -> Response:
    """Return the output notebook as nbformat JSON."""
    content = runs.notebook(principal, run_id)
    return Response(
        content, media_type="application/json", headers={"X-Content-Type-Options": "nosniff"}
    )


@router.get(
    "/runs/{run_id}/notebook.html",
    response_class=Response,
    responses={200: {"content": {"text/html": {"schema": {"type": "string"}}}}},
)
def get_run_notebook_html(principal: Reader, runs: Runs, run_id: str) -> Response:
    """Return the output notebook as a page without scripts, origin or remote parts."""
    page = as_html(runs.notebook(principal, run_id))
    return Response(page, media_type="text/html", headers=HTML_HEADERS)

"""Routes of runs."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response, status

from perijove.types.base import Page
from perijove.types.jobs import LogChunk, Run, RunCreate, RunState
from perijove_hub.api.auth import Reader, Runner
from perijove_hub.api.body import CheckedRoute
from perijove_hub.api.dependencies import Ctx, IdempotencyKey
from perijove_hub.api.paging import Cursor, Limit
from perijove_hub.jobs.render import HTML_HEADERS, as_html
from perijove_hub.jobs.runs import RunService
from perijove_hub.launch.choose import launcher

router = APIRouter(tags=["jobs"], route_class=CheckedRoute)

Offset = Annotated[int, Query(ge=0, le=2**53, description="First byte of the log to return")]


def _runs(ctx: Ctx) -> RunService:
    return RunService(ctx, launcher(ctx))


Runs = Annotated[RunService, Depends(_runs)]


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

"""Routes of runs."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response, status
from starlette.concurrency import run_in_threadpool

from perijove.types.base import Page
from perijove.types.comparison import Comparison
from perijove.types.jobs import Attempt, CellTimes, LogChunk, Run, RunAgain, RunCreate, RunState
from perijove.types.lineage import Lineage, RelatedRun
from perijove.types.watching import RunFailure, RunPoint
from perijove_hub.api.auth import Reader, Runner
from perijove_hub.api.body import CheckedRoute
from perijove_hub.api.dependencies import Ctx, IdempotencyKey, OwnToken
from perijove_hub.api.paging import Cursor, Limit
from perijove_hub.exceptions import Invalid
from perijove_hub.jobs import artifacts, cells, compare, failure, lineage
from perijove_hub.jobs.render import HTML_HEADERS, as_html
from perijove_hub.jobs.runs import RunService
from perijove_hub.launch.choose import launcher

router = APIRouter(tags=["jobs"], route_class=CheckedRoute)

Offset = Annotated[int, Query(ge=0, le=2**53, description="First byte of the log to return")]

AttemptNumber = Annotated[
    int | None, Query(ge=1, le=1000, description="One of its attempts; left out for the last")
]


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


@router.get("/jobs/{job_id}/series")
def get_job_series(
    principal: Reader,
    runs: Runs,
    job_id: str,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most runs to return")] = 200,
) -> list[RunPoint]:
    """Return state, seconds and metrics of a job's last runs, oldest first, for charts."""
    return list(runs.series(principal, job_id, limit=limit))


@router.get("/runs/{run_id}")
def get_run(principal: Reader, runs: Runs, run_id: str) -> Run:
    """Show one run and how far it has got."""
    return runs.get(principal, run_id)


@router.post("/runs/{run_id}/cancel")
def cancel_run(principal: Runner, runs: Runs, run_id: str) -> Run:
    """Cancel a run; one that has ended stays as it is."""
    return runs.cancel(principal, run_id)


@router.post("/runs/{run_id}/again", status_code=status.HTTP_201_CREATED)
def run_again(
    principal: Runner,
    runs: Runs,
    run_id: str,
    body: RunAgain,
    idempotency_key: IdempotencyKey = None,
) -> Run:
    """Queue a run like this one, with the same parameters or others."""
    return runs.again(principal, run_id, body, key=idempotency_key)


@router.get("/runs/{run_id}/attempts")
def list_run_attempts(principal: Reader, runs: Runs, run_id: str) -> list[Attempt]:
    """List how often a run was tried, in order; the last one is the run as it is now."""
    return list(runs.attempts(principal, run_id))


@router.get("/runs/{run_id}/cells")
def get_run_cells(
    principal: Reader, ctx: Ctx, run_id: str, attempt: AttemptNumber = None
) -> CellTimes:
    """Tell when each cell ran, and how long those to come will probably take."""
    return cells.times(ctx, launcher(ctx), principal, run_id, attempt=attempt)


@router.get("/runs/{run_id}/failure")
def get_run_failure(
    principal: Reader, ctx: Ctx, run_id: str, attempt: AttemptNumber = None
) -> RunFailure:
    """Show the cell that failed, its traceback, and why the run ended."""
    return failure.of_run(ctx, principal, run_id, attempt=attempt)


@router.get("/runs/{run_id}/compare/{other}")
def compare_runs(principal: Reader, ctx: Ctx, run_id: str, other: str) -> Comparison:
    """Tell what differs between two runs: values, environment, code, outputs and metrics."""
    return compare.compare(ctx, principal, run_id, other)


@router.get(
    "/runs/{run_id}/artifacts/{path:path}",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {"schema": {"type": "string"}}}}},
)
def get_run_artifact(
    principal: Reader,
    ctx: Ctx,
    run_id: str,
    path: str,
    view: Annotated[
        bool, Query(description="Show text, PNG and HTML in place, where they can do nothing")
    ] = False,
) -> Response:
    """Download a file that a run left."""
    found = artifacts.send(ctx, principal, run_id, path, view=view)
    return Response(found.content, media_type=found.media_type, headers=found.headers)


@router.get("/runs/{run_id}/logs")
def get_run_logs(
    principal: Reader, runs: Runs, run_id: str, offset: Offset = 0, attempt: AttemptNumber = None
) -> LogChunk:
    """Read a run's log from a byte on, while it runs and afterwards."""
    return runs.logs(principal, run_id, offset, attempt=attempt)


@router.get("/runs/{run_id}/notebook", response_model=dict[str, Any])
def get_run_notebook(
    principal: Reader, runs: Runs, run_id: str, attempt: AttemptNumber = None
) -> Response:
    """Return the output notebook as nbformat JSON; while the run goes on, its last save."""
    content, partial = runs.notebook(principal, run_id, attempt=attempt)
    headers = {"X-Content-Type-Options": "nosniff"} | _partial(partial)
    return Response(content, media_type="application/json", headers=headers)


@router.get(
    "/runs/{run_id}/notebook.html",
    response_class=Response,
    responses={200: {"content": {"text/html": {"schema": {"type": "string"}}}}},
)
def get_run_notebook_html(
    principal: Reader, runs: Runs, run_id: str, attempt: AttemptNumber = None
) -> Response:
    """Return the output notebook as a page without scripts, origin or remote parts."""
    content, partial = runs.notebook(principal, run_id, attempt=attempt)
    return Response(
        as_html(content), media_type="text/html", headers=HTML_HEADERS | _partial(partial)
    )


def _partial(partial: bool) -> dict[str, str]:
    """Say that a run still writes what is sent, and that the next answer is another."""
    return {"Perijove-Partial": "true", "Cache-Control": "no-store"} if partial else {}


@router.get("/runs/{run_id}/lineage")
async def get_run_lineage(principal: Reader, ctx: Ctx, token: OwnToken, run_id: str) -> Lineage:
    """Tell what a run read and recorded, and between which runs it stands."""
    return await lineage.of_run(ctx, principal, token, run_id)


@router.get("/lineage")
async def find_related_runs(
    principal: Reader,
    ctx: Ctx,
    token: OwnToken,
    dataset: Annotated[str | None, Query(max_length=1024, description="Its full name")] = None,
    tracked_run: Annotated[
        str | None, Query(pattern="^[0-9a-f]{1,64}$", description="Id of a run of MLflow")
    ] = None,
    model: Annotated[
        str | None, Query(max_length=255, description="A registered model, with its version")
    ] = None,
    version: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[RelatedRun]:
    """Find the jobs' runs that read a dataset, logged a run of MLflow or made a model version."""
    given = [name for name in (dataset, tracked_run, model) if name is not None]
    if len(given) != 1 or (model is None) != (version is None):
        raise Invalid(
            "Of one thing the runs are found: a dataset, a run of MLflow, or a model's version.",
            field="dataset",
            fix="Give one of dataset, tracked_run, and model with version.",
        )
    if dataset is not None:
        return await run_in_threadpool(
            lineage.readers, ctx, principal, dataset, cursor=cursor, limit=limit
        )
    if tracked_run is not None:
        found = await lineage.recorder(ctx, principal, token, tracked_run)
    else:
        found = await lineage.maker(ctx, principal, token, str(model), version or 1)
    return Page[RelatedRun](items=found)

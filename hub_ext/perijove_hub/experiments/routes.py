"""Experiments and runs as MLflow knows them, read with the caller's own token."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from perijove.types.base import Page
from perijove.types.experiments import Experiment, TrackedRun
from perijove_hub.api.auth import Reader
from perijove_hub.api.dependencies import Ctx, OwnToken
from perijove_hub.api.paging import Cursor, Limit
from perijove_hub.experiments.tracking import Tracking

router = APIRouter(tags=["experiments"])


@router.get("/experiments")
async def list_experiments(
    principal: Reader,
    context: Ctx,
    token: OwnToken,
    q: Annotated[str, Query(max_length=200, description="Part of a name")] = "",
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[Experiment]:
    """List the experiments the caller may see, last changed first."""
    async with Tracking(context.topology.mlflow_url, token) as tracking:
        found, following = await tracking.experiments(q=q, cursor=cursor, limit=limit)
    return Page(items=found, next_cursor=following or None)


@router.get("/experiments/{experiment_id}/runs")
async def list_tracked_runs(
    principal: Reader,
    context: Ctx,
    token: OwnToken,
    experiment_id: Annotated[str, Path(max_length=64)],
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[TrackedRun]:
    """List an experiment's runs, newest first."""
    async with Tracking(context.topology.mlflow_url, token) as tracking:
        found, following = await tracking.runs(experiment_id, cursor=cursor, limit=limit)
    return Page(items=found, next_cursor=following or None)


@router.get("/tracked-runs/{run_id}")
async def get_tracked_run(
    principal: Reader,
    context: Ctx,
    token: OwnToken,
    run_id: Annotated[str, Path(max_length=64)],
) -> TrackedRun:
    """Describe one run."""
    async with Tracking(context.topology.mlflow_url, token) as tracking:
        return await tracking.run(run_id)

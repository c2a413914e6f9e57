"""Experiments and runs as MLflow knows them, read with the caller's own token."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from perijove.types.base import Page
from perijove.types.experiments import Experiment, TrackedRun
from perijove_hub.api.auth import Reader
from perijove_hub.api.dependencies import Ctx, OwnToken
from perijove_hub.api.paging import Cursor, Limit
from perijove_hub.exceptions import Unavailable

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
    raise Unavailable("MLflow is not wired yet.")


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
    raise Unavailable("MLflow is not wired yet.")

"""Routes of sweeps."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, status

from perijove.types.base import Page
from perijove.types.sweeps import Sweep, SweepCreate, SweepTrial
from perijove_hub.api.auth import Reader, Runner
from perijove_hub.api.body import CheckedRoute
from perijove_hub.api.dependencies import Ctx, IdempotencyKey
from perijove_hub.api.paging import Cursor, Limit
from perijove_hub.jobs.sweeps.service import SweepService

router = APIRouter(tags=["sweeps"], route_class=CheckedRoute)


def _sweeps(ctx: Ctx) -> SweepService:
    return SweepService(ctx)


Sweeps = Annotated[SweepService, Depends(_sweeps)]


@router.post("/jobs/{job_id}/sweeps", status_code=status.HTTP_201_CREATED)
def create_sweep(
    principal: Runner,
    sweeps: Sweeps,
    job_id: str,
    body: SweepCreate,
    idempotency_key: IdempotencyKey = None,
) -> Sweep:
    """Search a job's parameters for the best value of a metric."""
    return sweeps.create(principal, job_id, body, key=idempotency_key)


@router.get("/jobs/{job_id}/sweeps")
def list_sweeps(
    principal: Reader, sweeps: Sweeps, job_id: str, cursor: Cursor = None, limit: Limit = 50
) -> Page[Sweep]:
    """List a job's sweeps, newest first."""
    return sweeps.list(principal, job_id, cursor=cursor, limit=limit)


@router.get("/sweeps/{sweep_id}")
def get_sweep(principal: Reader, sweeps: Sweeps, sweep_id: str) -> Sweep:
    """Show one sweep, how far it is and its best trial."""
    return sweeps.get(principal, sweep_id)


@router.get("/sweeps/{sweep_id}/trials")
def list_sweep_trials(
    principal: Reader, sweeps: Sweeps, sweep_id: str, cursor: Cursor = None, limit: Limit = 100
) -> Page[SweepTrial]:
    """List a sweep's trials in the order they were begun."""
    return sweeps.trials(principal, sweep_id, cursor=cursor, limit=limit)


@router.post("/sweeps/{sweep_id}/cancel")
def cancel_sweep(principal: Runner, sweeps: Sweeps, sweep_id: str) -> Sweep:
    """Cancel a sweep and its runs; what has ended stays as it is."""
    return sweeps.cancel(principal, sweep_id)

"""Routes of backfills."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response, status

from perijove.types.backfills import Backfill, BackfillCreate, BackfillRun, SlotState
from perijove.types.base import Page
from perijove_hub.api.auth import Reader, Runner
from perijove_hub.api.body import CheckedRoute
from perijove_hub.api.dependencies import Ctx, IdempotencyKey
from perijove_hub.api.paging import Cursor, Limit
from perijove_hub.jobs.backfills.service import BackfillService

router = APIRouter(tags=["backfills"], route_class=CheckedRoute)


def _backfills(ctx: Ctx) -> BackfillService:
    return BackfillService(ctx)


Backfills = Annotated[BackfillService, Depends(_backfills)]


@router.post(
    "/jobs/{job_id}/backfills",
    status_code=status.HTTP_201_CREATED,
    responses={200: {"model": Backfill, "description": "What a dry run would have made"}},
)
def create_backfill(
    principal: Runner,
    backfills: Backfills,
    job_id: str,
    body: BackfillCreate,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> Backfill:
    """Run a job for every slot of a range, or with ``dry_run`` say what that would do."""
    if body.dry_run:
        response.status_code = status.HTTP_200_OK
        return backfills.plan(principal, job_id, body)
    return backfills.create(principal, job_id, body, key=idempotency_key)


@router.get("/jobs/{job_id}/backfills")
def list_backfills(
    principal: Reader, backfills: Backfills, job_id: str, cursor: Cursor = None, limit: Limit = 50
) -> Page[Backfill]:
    """List a job's backfills, newest first."""
    return backfills.list(principal, job_id, cursor=cursor, limit=limit)


@router.get("/backfills/{backfill_id}")
def get_backfill(principal: Reader, backfills: Backfills, backfill_id: str) -> Backfill:
    """Show one backfill and how far it is."""
    return backfills.get(principal, backfill_id)


@router.get("/backfills/{backfill_id}/runs")
def list_backfill_runs(
    principal: Reader,
    backfills: Backfills,
    backfill_id: str,
    state: SlotState | None = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[BackfillRun]:
    """List a backfill's slots in order of its range, each with its run once there is one."""
    return backfills.runs(principal, backfill_id, state=state, cursor=cursor, limit=limit)


@router.post("/backfills/{backfill_id}/cancel")
def cancel_backfill(principal: Runner, backfills: Backfills, backfill_id: str) -> Backfill:
    """Cancel a backfill and its runs; what has ended stays as it is."""
    return backfills.cancel(principal, backfill_id)

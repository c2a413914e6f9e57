"""Routes of jobs' versions."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Response, status

from perijove.types.base import Page
from perijove.types.jobs import JobVersion
from perijove.types.versions import VersionDiff
from perijove_hub.api.auth import Promoter, Reader
from perijove_hub.api.body import CheckedRoute
from perijove_hub.api.dependencies import Ctx
from perijove_hub.api.paging import Cursor, Limit
from perijove_hub.jobs.history import History

router = APIRouter(tags=["jobs"], route_class=CheckedRoute)

Number = Annotated[int, Path(ge=1, le=2**31 - 1)]


def _history(ctx: Ctx) -> History:
    return History(ctx)


TheHistory = Annotated[History, Depends(_history)]


@router.get("/jobs/{job_id}/versions")
def list_job_versions(
    principal: Reader, history: TheHistory, job_id: str, cursor: Cursor = None, limit: Limit = 50
) -> Page[JobVersion]:
    """List a job's versions, newest first."""
    return history.list(principal, job_id, cursor=cursor, limit=limit)


@router.get("/jobs/{job_id}/versions/{version}")
def get_job_version(
    principal: Reader, history: TheHistory, job_id: str, version: Number
) -> JobVersion:
    """Show one version."""
    return history.get(principal, job_id, version)


@router.get("/jobs/{job_id}/versions/{version}/notebook", response_model=dict[str, Any])
def get_job_version_notebook(
    principal: Reader, history: TheHistory, job_id: str, version: Number
) -> Response:
    """Return a version's notebook as nbformat JSON, without outputs."""
    return Response(
        history.notebook(principal, job_id, version),
        media_type="application/json",
        headers={"X-Content-Type-Options": "nosniff"},
    )


@router.get("/jobs/{job_id}/versions/{version}/diff/{other}")
def diff_job_versions(
    principal: Reader, history: TheHistory, job_id: str, version: Number, other: Number
) -> VersionDiff:
    """Tell how version ``other`` differs from ``version``."""
    return history.diff(principal, job_id, version, other)


@router.post("/jobs/{job_id}/versions/{version}/approve")
def approve_job_version(
    principal: Promoter, history: TheHistory, job_id: str, version: Number
) -> JobVersion:
    """Approve a version: schedules that follow approved ones run the newest of them."""
    return history.approve(principal, job_id, version)


@router.delete("/jobs/{job_id}/versions/{version}/approve", status_code=status.HTTP_204_NO_CONTENT)
def withdraw_job_version(
    principal: Promoter, history: TheHistory, job_id: str, version: Number
) -> None:
    """Take the approval of a version back."""
    history.withdraw(principal, job_id, version)

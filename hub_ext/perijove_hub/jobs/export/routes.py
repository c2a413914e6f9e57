"""Routes of exports."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import PlainTextResponse

from perijove.types.jobs import ExportTo
from perijove_hub.api.auth import Reader
from perijove_hub.api.body import CheckedRoute
from perijove_hub.api.dependencies import Ctx
from perijove_hub.jobs.export.service import export

router = APIRouter(tags=["jobs"], route_class=CheckedRoute)

Number = Annotated[int | None, Query(ge=1, le=2**31 - 1, description="The latest if left out")]
Image = Annotated[
    str | None,
    Query(max_length=300, pattern=r"^[\w./:@-]+$", description="Another image than the version's"),
]


@router.get("/jobs/{job_id}/export", response_class=PlainTextResponse)
def export_job(
    principal: Reader,
    ctx: Ctx,
    job_id: str,
    to: ExportTo = ExportTo.airflow,
    version: Number = None,
    image: Image = None,
) -> Response:
    """Write a version of a job for another scheduler."""
    assert to is ExportTo.airflow  # noqa: S101 - there is no other yet
    name, text = export(ctx, principal, job_id, version=version, image=image)
    headers = {
        "Content-Disposition": f'attachment; filename="{name}.py"',
        "X-Content-Type-Options": "nosniff",
    }
    return PlainTextResponse(text, headers=headers)

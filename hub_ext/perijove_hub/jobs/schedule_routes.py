"""Routes of schedules, apart from any job."""

from __future__ import annotations

from fastapi import APIRouter

from perijove.types.jobs import Schedule, SchedulePreview
from perijove_hub.api.auth import Reader
from perijove_hub.api.body import CheckedRoute
from perijove_hub.api.dependencies import Ctx
from perijove_hub.jobs import schedules

router = APIRouter(tags=["jobs"], route_class=CheckedRoute)


@router.post("/jobs/schedule/preview")
def preview_schedule(principal: Reader, ctx: Ctx, body: Schedule) -> SchedulePreview:
    """Tell when a schedule would be due, in words and by the next ten slots."""
    with ctx.database.reading() as session:
        return schedules.preview(session, ctx, principal, body)

"""Routes of workspaces; the Hub's own API starts and stops them."""

from __future__ import annotations

from fastapi import APIRouter, BackgroundTasks, status

from perijove.types.base import Page
from perijove.types.workspaces import Sizes, Workspace, WorkspaceStop
from perijove_hub.api.auth import Reader, Starter
from perijove_hub.api.body import CheckedRoute
from perijove_hub.api.dependencies import Ctx
from perijove_hub.api.paging import Cursor, Limit
from perijove_hub.workspaces.service import Workspaces

router = APIRouter(tags=["workspaces"], route_class=CheckedRoute)


@router.get("/workspaces")
def list_workspaces(
    principal: Reader, context: Ctx, cursor: Cursor = None, limit: Limit = 50
) -> Page[Workspace]:
    """List your workspaces; an administrator sees everybody's."""
    return Workspaces(context).page(principal, cursor=cursor, limit=limit)


@router.get("/workspaces/sizes")
def list_sizes(principal: Reader, context: Ctx) -> Sizes:
    """List the sizes you may choose, and the GPUs that are free now."""
    return Workspaces(context).sizes(principal)


@router.post("/workspaces/stop", status_code=status.HTTP_202_ACCEPTED)
def stop_workspace(
    principal: Starter, context: Ctx, body: WorkspaceStop, after: BackgroundTasks
) -> None:
    """Stop a workspace of the caller's; answers before it stops."""
    workspaces = Workspaces(context)
    workspaces.check_runs(principal, body.server)
    # The answer may go to a browser through the very server that stops.
    after.add_task(workspaces.stop, principal, body.server)

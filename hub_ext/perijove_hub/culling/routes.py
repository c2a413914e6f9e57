"""Routes by which workspaces report activity and users keep them alive."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from perijove.types.culling import ActivityReport, IdleState, KeepAlive
from perijove_hub.api.auth import Reader, Starter
from perijove_hub.api.body import CheckedRoute
from perijove_hub.api.dependencies import Ctx
from perijove_hub.culling.service import CullingService

router = APIRouter(tags=["workspaces"], route_class=CheckedRoute)


def _culling(ctx: Ctx) -> CullingService:
    return CullingService(ctx)


Culling = Annotated[CullingService, Depends(_culling)]
Server = Annotated[str, Query(max_length=255, description="A named server; empty for the default")]


@router.post("/workspaces/activity")
def report_activity(principal: Starter, culling: Culling, body: ActivityReport) -> IdleState:
    """Report what one's own workspace is busy with; the answer says when it is shut off."""
    return culling.report(principal, body)


@router.get("/workspaces/idle")
def get_idle_state(principal: Reader, culling: Culling, server: Server = "") -> IdleState:
    """Return when one's own workspace is shut off, and why not yet."""
    return culling.state(principal, server)


@router.post("/workspaces/keep")
def keep_workspace(principal: Starter, culling: Culling, body: KeepAlive) -> IdleState:
    """Keep one's own workspace for another stretch of its idle time."""
    return culling.keep(principal, body)

"""Routes of usage."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from perijove.types.usage import MyUsage, UsageBy, UsageReport
from perijove_hub.api.auth import Reader
from perijove_hub.api.body import CheckedRoute
from perijove_hub.api.dependencies import Ctx
from perijove_hub.usage.service import UsageService

router = APIRouter(tags=["usage"], route_class=CheckedRoute)

First = Annotated[date | None, Query(alias="from", description="First UTC day, 2026-11-01")]
Last = Annotated[date | None, Query(alias="to", description="Last UTC day; it belongs to it")]


def _usage(ctx: Ctx) -> UsageService:
    return UsageService(ctx)


Usage = Annotated[UsageService, Depends(_usage)]


@router.get("/usage")
def get_usage(
    principal: Reader,
    usage: Usage,
    by: UsageBy = UsageBy.kind,
    first: First = None,
    last: Last = None,
) -> UsageReport:
    """Add up what the caller used, or everybody for administrators, and their groups' totals."""
    return usage.report(principal, by=by, first=first, last=last)


@router.get("/usage/mine")
def get_my_usage(principal: Reader, usage: Usage) -> MyUsage:
    """Return what of the caller's runs now, what it has cost, and what is going to be stopped."""
    return usage.mine(principal)

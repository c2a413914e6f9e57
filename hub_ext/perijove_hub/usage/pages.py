"""What is not under ``/api``: figures for Prometheus."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from perijove.types.base import Principal
from perijove_hub.access import METRICS, require_admin, require_scope, scope
from perijove_hub.api.auth import caller
from perijove_hub.api.dependencies import Ctx
from perijove_hub.usage import metrics

router = APIRouter(include_in_schema=False)

Caller = Annotated[Principal, Depends(caller)]


@router.get("/metrics")
def get_metrics(principal: Caller, ctx: Ctx) -> Response:
    """Give an administrator, or the service that may only do this, every figure."""
    if scope(METRICS) in principal.scopes:
        require_scope(principal, METRICS)
    else:
        require_scope(principal, "read")
        require_admin(principal)
    return Response(metrics.text(ctx.database), media_type=metrics.MEDIA_TYPE)

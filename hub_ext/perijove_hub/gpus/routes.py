"""Routes of GPUs."""

from __future__ import annotations

from fastapi import APIRouter

from perijove.types.gpus import GpuInventory
from perijove_hub.api.auth import Reader
from perijove_hub.api.body import CheckedRoute
from perijove_hub.api.dependencies import Ctx
from perijove_hub.gpus import service

router = APIRouter(tags=["gpus"], route_class=CheckedRoute)


@router.get("/gpus")
def show_gpus(principal: Reader, ctx: Ctx) -> GpuInventory:
    """Say how many GPUs are free; administrators also see who holds the others."""
    return service.show(ctx, principal)

"""Routes of remote kernels, and the way to their sockets."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, WebSocket, status

from perijove.types.base import Page
from perijove.types.kernels import Kernel, KernelCreate, KernelOffer, KernelRestart
from perijove_hub.api.auth import Reader, Starter
from perijove_hub.api.body import CheckedRoute
from perijove_hub.api.dependencies import Ctx, IdempotencyKey
from perijove_hub.api.paging import Cursor, Limit
from perijove_hub.kernels import tunnel
from perijove_hub.kernels.service import KernelService

router = APIRouter(tags=["kernels"], route_class=CheckedRoute)


def _kernels(ctx: Ctx) -> KernelService:
    return KernelService(ctx)


Kernels = Annotated[KernelService, Depends(_kernels)]


@router.get("/kernels/offers")
def list_kernel_offers(principal: Reader, kernels: Kernels) -> list[KernelOffer]:
    """List the remote kernels the caller may start."""
    return kernels.offers(principal)


@router.post("/kernels", status_code=status.HTTP_201_CREATED)
def create_kernel(
    principal: Starter,
    kernels: Kernels,
    body: KernelCreate,
    idempotency_key: IdempotencyKey = None,
) -> Kernel:
    """Start a kernel in a container of its own; it waits where no GPU is free."""
    return kernels.create(principal, body, key=idempotency_key)


@router.get("/kernels")
def list_kernels(
    principal: Reader,
    kernels: Kernels,
    over: Annotated[bool, Query(description="Those that have ended, too")] = False,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[Kernel]:
    """List the caller's remote kernels, newest first; an administrator's list is everybody's."""
    return kernels.list(principal, over=over, cursor=cursor, limit=limit)


@router.get("/kernels/{kernel_id}")
def get_kernel(principal: Reader, kernels: Kernels, kernel_id: str) -> Kernel:
    """Show one remote kernel."""
    return kernels.get(principal, kernel_id)


@router.post("/kernels/{kernel_id}/interrupt", status_code=status.HTTP_204_NO_CONTENT)
def interrupt_kernel(principal: Starter, kernels: Kernels, kernel_id: str) -> None:
    """Interrupt the cell that runs."""
    kernels.interrupt(principal, kernel_id)


@router.post("/kernels/{kernel_id}/restart")
def restart_kernel(
    principal: Starter, kernels: Kernels, kernel_id: str, body: KernelRestart | None = None
) -> Kernel:
    """Replace the kernel's process; its variables are gone, its GPU stays."""
    return kernels.restart(principal, kernel_id, body or KernelRestart())


@router.delete("/kernels/{kernel_id}", status_code=status.HTTP_204_NO_CONTENT)
def stop_kernel(principal: Starter, kernels: Kernels, kernel_id: str) -> None:
    """Stop a kernel, or take it out of the queue."""
    kernels.stop(principal, kernel_id)


@router.websocket("/kernels/{kernel_id}/channels/{channel}")
async def kernel_channel(websocket: WebSocket, kernel_id: str, channel: str) -> None:
    """Carry one of a kernel's sockets: binary messages, each a piece of its bytes."""
    await tunnel.serve(websocket, kernel_id, channel)

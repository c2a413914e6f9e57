"""Routes of shares."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response, status

from perijove.types.base import Page
from perijove.types.shares import Box, Share, ShareCreate
from perijove_hub.api.auth import Reader, Sharer
from perijove_hub.api.body import CheckedRoute
from perijove_hub.api.dependencies import Ctx, IdempotencyKey
from perijove_hub.api.paging import Cursor, Limit
from perijove_hub.shares.service import ShareService

router = APIRouter(tags=["shares"], route_class=CheckedRoute)

Words = Annotated[
    str | None, Query(max_length=200, description="Part of the name, the message or the sender")
]


def _shares(ctx: Ctx) -> ShareService:
    return ShareService(ctx)


Shares = Annotated[ShareService, Depends(_shares)]


@router.post("/shares", status_code=status.HTTP_201_CREATED)
def create_share(
    principal: Sharer, shares: Shares, body: ShareCreate, idempotency_key: IdempotencyKey = None
) -> Share:
    """Share a copy of a notebook with a user or a group."""
    return shares.create(principal, body, key=idempotency_key)


@router.get("/shares")
def list_shares(
    principal: Reader,
    shares: Shares,
    q: Words = None,
    box: Annotated[Box | None, Query(description="Both if left out")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[Share]:
    """List what the caller was sent and has sent, newest first."""
    return shares.list(principal, q=q, box=box, cursor=cursor, limit=limit)


@router.get("/shares/{share_id}")
def get_share(principal: Reader, shares: Shares, share_id: str) -> Share:
    """Show one share."""
    return shares.get(principal, share_id)


@router.get("/shares/{share_id}/notebook", response_model=dict[str, Any])
def get_share_notebook(principal: Sharer, shares: Shares, share_id: str) -> Response:
    """Return the shared copy as nbformat JSON."""
    content = shares.notebook(principal, share_id)
    return Response(
        content, media_type="application/json", headers={"X-Content-Type-Options": "nosniff"}
    )


@router.post("/shares/{share_id}/dismiss", status_code=status.HTTP_204_NO_CONTENT)
def dismiss_share(principal: Sharer, shares: Shares, share_id: str) -> None:
    """See no more what the caller was given; copies that were taken stay."""
    shares.dismiss(principal, share_id)


@router.delete("/shares/{share_id}", status_code=status.HTTP_204_NO_CONTENT)
def delete_share(principal: Sharer, shares: Shares, share_id: str) -> None:
    """Take back what the caller shared; copies that were taken stay."""
    shares.delete(principal, share_id)

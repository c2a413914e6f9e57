"""Routes of the caller's own files."""

from __future__ import annotations

from fastapi import APIRouter

from perijove.types.files import HomeUsage
from perijove_hub.api.auth import Reader
from perijove_hub.api.dependencies import Ctx
from perijove_hub.files import limit

router = APIRouter(tags=["files"])


@router.get("/files/usage")
def get_files_usage(principal: Reader, ctx: Ctx) -> HomeUsage:
    """Tell how large the caller's home is, and how large it may be."""
    with ctx.database.reading() as session:
        return limit.usage(ctx, session, principal.name)

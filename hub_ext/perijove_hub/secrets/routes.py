"""Routes of secrets."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, status

from perijove.types.base import Page
from perijove.types.secrets import PATTERN, RULE, Secret, SecretCreate
from perijove_hub.api.auth import Promoter
from perijove_hub.api.body import CheckedRoute
from perijove_hub.api.dependencies import Ctx
from perijove_hub.api.paging import Cursor, Limit
from perijove_hub.secrets.service import SecretService

router = APIRouter(tags=["secrets"], route_class=CheckedRoute)

Name = Annotated[str, Path(pattern=PATTERN, description=RULE)]


def _secrets(ctx: Ctx) -> SecretService:
    return SecretService(ctx)


Secrets = Annotated[SecretService, Depends(_secrets)]

# Even their names are for those only who may promote: the token of a run may not.


@router.get("/secrets")
def list_secrets(
    principal: Promoter, secrets: Secrets, cursor: Cursor = None, limit: Limit = 50
) -> Page[Secret]:
    """List the caller's own secrets by name, without their values."""
    return secrets.list(principal, cursor=cursor, limit=limit)


@router.put("/secrets/{name}")
def put_secret(principal: Promoter, secrets: Secrets, name: Name, body: SecretCreate) -> Secret:
    """Keep a secret of the caller's own, or give it another value; nobody reads it back."""
    return secrets.put(principal, name, body)


@router.delete("/secrets/{name}", status_code=status.HTTP_204_NO_CONTENT)
def delete_secret(principal: Promoter, secrets: Secrets, name: Name) -> None:
    """Delete a secret of the caller's own; runs that name it do not start any more."""
    secrets.delete(principal, name)

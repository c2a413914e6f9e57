"""What routes are handed: the process's context, and the caller's own token to pass on."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Header, Request

from perijove_hub.context import Context


def context(request: Request) -> Context:
    """Return the process's context."""
    found: Context = request.app.state.context
    return found


def own_token(request: Request) -> str:
    """Return the caller's token, to act as them towards MLflow."""
    token: str = request.state.token
    return token


Ctx = Annotated[Context, Depends(context)]
OwnToken = Annotated[str, Depends(own_token)]
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=200,
        description="Send the same key again to repeat a create harmlessly",
    ),
]

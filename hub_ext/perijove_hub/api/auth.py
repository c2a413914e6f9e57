"""Authentication of API requests: every route names the verb its token must be allowed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request

from perijove.types.base import Principal
from perijove_hub.access import VERBS, require_scope
from perijove_hub.exceptions import Refused, Unauthenticated
from perijove_hub.identity import Identifier

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def bearer(authorization: str | None) -> str | None:
    """Take the token out of an ``Authorization`` header: ``Bearer X`` or the Hub's ``token X``."""
    kind, _, token = (authorization or "").partition(" ")
    return token.strip() if kind.lower() in ("bearer", "token") and token.strip() else None


async def caller(request: Request) -> Principal:
    """Identify the sender of a request.

    A token in ``Authorization`` may do anything it has scopes for; a browser's cookie only
    opens pages, so that no page of another user can write or read in someone's name. Every
    workspace is a page of the same origin, and what is in it is its user's.
    """
    token = bearer(request.headers.get("authorization"))
    if token is None:
        token = request.app.state.session_token(request)
        if token is not None and not _is_opened(request):
            raise Refused(
                "A browser session may only read here, and only in a page of its own.",
                fix="Send the token in an Authorization header.",
            )
    if token is None:
        raise Unauthenticated(
            "No token.", fix="Send 'Authorization: Bearer TOKEN'; `perijove token USER` prints one."
        )
    identifier: Identifier = request.app.state.identifier
    principal = await identifier.identify(token)
    if principal is None:
        raise Unauthenticated(
            "The token is unknown or has expired.", fix="Ask for a new one: `perijove token USER`."
        )
    request.state.token = token
    return principal


def _is_opened(request: Request) -> bool:
    """Tell whether a browser opens an address; what a script fetches, it says, is something else.

    Browsers say nothing where there is neither TLS nor loopback.
    """
    mode = request.headers.get("sec-fetch-mode", "navigate")
    return request.method in SAFE_METHODS and mode == "navigate"


def require(verb: str) -> Callable[..., Awaitable[Principal]]:
    """Make the dependency that lets in tokens with ``verb``."""
    if verb not in VERBS:
        raise ValueError(f"unknown verb {verb!r}")

    async def allowed(principal: Annotated[Principal, Depends(caller)]) -> Principal:
        require_scope(principal, verb)
        return principal

    allowed.__name__ = f"require_{verb}"
    return allowed


Reader = Annotated[Principal, Depends(require("read"))]
Querier = Annotated[Principal, Depends(require("query"))]
Runner = Annotated[Principal, Depends(require("run"))]
Promoter = Annotated[Principal, Depends(require("promote"))]
Deployer = Annotated[Principal, Depends(require("deploy"))]
Builder = Annotated[Principal, Depends(require("build"))]
Sharer = Annotated[Principal, Depends(require("share"))]
Starter = Annotated[Principal, Depends(require("start"))]

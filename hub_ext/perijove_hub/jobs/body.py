"""Refuse request bodies that are too large before they are read into memory."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from perijove_hub.exceptions import ProblemError

#: Most bytes of a request. A notebook may carry outputs, which are dropped afterwards.
MAX_BODY = 64 * 2**20


class TooLarge(ProblemError):
    """The request is larger than anybody needs."""

    status = 413
    title = "Too large"


class BoundedRoute(APIRoute):
    """A route whose request may hold at most ``MAX_BODY`` bytes."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the handler: FastAPI reads the body before any dependency could refuse it."""
        handle = super().get_route_handler()

        async def bounded(request: Request) -> Response:
            length = request.headers.get("content-length", "0")
            # A body without a length is cut off by nobody, so it is not accepted at all.
            unmeasured = "transfer-encoding" in request.headers
            if unmeasured or not length.isdigit() or int(length) > MAX_BODY:
                raise TooLarge(
                    f"The request holds more than {MAX_BODY // 2**20} MiB, or does not say.",
                    fix="Clear the notebook's outputs and send it with a Content-Length.",
                )
            return await handle(request)

        return bounded

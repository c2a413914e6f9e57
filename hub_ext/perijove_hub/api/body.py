"""Look at a request before its body is read into memory, and at the text in it afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool

from perijove_hub.api.auth import caller
from perijove_hub.exceptions import Invalid, ProblemError

#: Most bytes of a request. A notebook may carry outputs, which are dropped afterwards.
MAX_BODY = 64 * 2**20


class TooLarge(ProblemError):
    """The request is larger than anybody needs."""

    status = 413
    title = "Too large"


class _ParsedRequest(Request):
    """A request whose body has been parsed already."""

    content: Any = None

    async def json(self) -> Any:
        """Return what was parsed."""
        return self.content


class CheckedRoute(APIRoute):
    """A route whose body is read for known callers only, up to ``MAX_BODY`` bytes."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the handler: FastAPI reads the body before any dependency could refuse it."""
        handle = super().get_route_handler()

        async def checked(request: Request) -> Response:
            length = request.headers.get("content-length", "0")
            # A body without a length is cut off by nobody, so it is not accepted at all.
            unmeasured = "transfer-encoding" in request.headers
            if unmeasured or not length.isdigit():
                raise TooLarge(
                    "The request does not say how large it is.", fix="Send a Content-Length."
                )
            if int(length) > MAX_BODY:
                raise TooLarge(
                    f"The request holds {int(length) // 2**20} MiB; at most "
                    f"{MAX_BODY // 2**20} are taken.",
                    fix="Clear the notebook's large outputs, or send fewer files with it.",
                )
            if self.body_field is None:
                return await handle(request)
            await caller(request)
            parsed = _ParsedRequest(request.scope, request.receive)
            if body := await parsed.body():
                # Off the event loop: a large notebook takes a second.
                parsed.content = await run_in_threadpool(_parse, body)
            return await handle(parsed)

        return checked


def _parse(body: bytes) -> Any:
    """Parse JSON whose text a database and an answer can carry; raises ``Invalid``."""
    try:
        content = json.loads(body)
        # Half of a surrogate pair can be written in JSON and is no character; the whole
        # pairs that json.dumps writes for emoji begin alike, so only those pay for a look.
        if b"\\ud" in body or b"\\uD" in body:
            json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Invalid(
            "The request holds characters that are no text.",
            fix="Leave out lone surrogates (U+D800 to U+DFFF).",
        ) from None
    except (ValueError, RecursionError):
        raise Invalid(
            "The request is not JSON, or nested too deeply.", fix="Send a JSON object in UTF-8."
        ) from None
    return content

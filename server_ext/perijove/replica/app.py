"""The replica's HTTP side."""

from __future__ import annotations

import logging
from typing import Protocol

import orjson
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Lifespan

from perijove.replica.exceptions import BadRequest, ModelFailed, TooLarge
from perijove.replica.worker import Busy, Worker

log = logging.getLogger(__name__)

#: Largest request, in bytes.
BODY_BYTES = 32 * 1024 * 1024

#: Says whom a request is meant for: ports are used again, and another model may listen now.
MEANT_FOR = "perijove-replica"


class Answers(Protocol):
    """What the application asks of a model."""

    @property
    def version(self) -> str:
        """MLflow's version."""

    def answer(self, body: bytes, content_type: str) -> bytes:
        """Score a request."""


def create_app(
    model: Answers, *, name: str = "", lifespan: Lifespan[Starlette] | None = None
) -> Starlette:
    """Build the application that serves ``model`` under the workload's ``name``."""
    worker = Worker(model.answer)

    async def invocations(request: Request) -> Response:
        if request.headers.get(MEANT_FOR, name) != name:
            return problem(421, "Misdirected", "This is another replica.")
        try:
            body = await _body(request)
            answer = await worker.score(body, request.headers.get("content-type", ""))
        except BadRequest as error:
            return problem(
                error.status, "Invalid request", str(error), field=error.field, fix=error.fix
            )
        except Busy:
            response = problem(
                503, "Busy", "Too many requests wait for this model.", fix="Try again in a second."
            )
            response.headers["Retry-After"] = "1"
            return response
        except ModelFailed:
            return problem(
                500,
                "The model failed",
                "The model raised an error for this input; the deployment's log has it.",
            )
        except ClientDisconnect:
            return Response(status_code=499)
        return Response(answer, media_type="application/json")

    async def ping(request: Request) -> Response:
        if request.headers.get(MEANT_FOR, name) != name:
            return problem(421, "Misdirected", "This is another replica.")
        return PlainTextResponse("\n")

    async def version(request: Request) -> Response:
        return PlainTextResponse(model.version)

    return Starlette(
        routes=[
            Route("/invocations", invocations, methods=["POST"]),
            Route("/ping", ping),
            Route("/health", ping),
            Route("/version", version),
        ],
        lifespan=lifespan,
    )


def problem(
    status: int, title: str, detail: str, *, field: str | None = None, fix: str | None = None
) -> Response:
    """Build an RFC 9457 document."""
    document = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    if field is not None:
        document["field"] = field
    if fix is not None:
        document["fix"] = fix
    return Response(orjson.dumps(document), status, media_type="application/problem+json")


async def _body(request: Request) -> bytes:
    chunks: list[bytes] = []
    size = 0
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > BODY_BYTES:
        raise _too_large()
    async for chunk in request.stream():
        size += len(chunk)
        if size > BODY_BYTES:
            raise _too_large()
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_large() -> TooLarge:
    return TooLarge(
        f"The body is larger than {BODY_BYTES // 2**20} MB.", fix="Send fewer rows at a time."
    )

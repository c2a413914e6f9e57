"""Every failure leaves as a problem document (RFC 9457), without tracebacks or echoed data."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from perijove.types.base import Problem
from perijove_hub.exceptions import ProblemError

log = logging.getLogger(__name__)


def problem_response(
    status: int,
    title: str,
    detail: str = "",
    *,
    field: str | None = None,
    fix: str | None = None,
    headers: dict[str, str] | None = None,
    **more: Any,
) -> JSONResponse:
    """Build an ``application/problem+json`` response."""
    problem = Problem(title=title, status=status, detail=detail, field=field, fix=fix, **more)
    return JSONResponse(
        problem.model_dump(exclude_none=True),
        status_code=status,
        media_type="application/problem+json",
        headers=headers,
    )


def from_error(error: ProblemError) -> JSONResponse:
    """Build the response for one of our own errors."""
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
    return problem_response(
        error.status,
        error.title,
        error.detail,
        field=error.field,
        fix=error.fix,
        headers=headers,
    )


def install(app: FastAPI) -> None:
    """Register the handlers on ``app``."""

    @app.exception_handler(ProblemError)
    async def _ours(_: Request, error: ProblemError) -> JSONResponse:
        return from_error(error)

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> JSONResponse:
        return problem_response(error.status_code, error.detail or "Error", error.detail)

    @app.exception_handler(RequestValidationError)
    async def _validation(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = [str(part) for part in first["loc"] if part not in ("body", "query", "path")]
        return problem_response(
            422,
            "Invalid request",
            f"{'.'.join(place) or 'body'}: {first['msg']}",
            field=".".join(place) or None,
            errors=[
                {"field": ".".join(str(p) for p in item["loc"]), "message": item["msg"]}
                for item in error.errors()
            ],
        )

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, error: Exception) -> JSONResponse:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return problem_response(
            500,
            "Internal error",
            "Perijove failed to answer; its log says why.",
            fix="Try again; tell an administrator if it stays.",
        )

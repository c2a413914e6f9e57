"""Every failure leaves as a problem document (RFC 9457), without tracebacks or echoed data."""

from __future__ import annotations

import errno
import logging
import sqlite3
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from perijove.types.base import Problem
from perijove.types.faults import fault
from perijove_hub.exceptions import ProblemError

log = logging.getLogger(__name__)

_WORDS = {
    404: "There is nothing at this address.",
    405: "This address does not take that method.",
}
_LISTED = "The addresses there are: /services/perijove/api/openapi.json."


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


class LastResort:
    """Answers for what nobody foresaw, and leaves the connection open.

    Starlette's own handler raises again behind its answer, at which uvicorn closes the
    connection: the next request that the proxy sends on it, somebody else's, would fail.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything through; a failure before the answer began becomes one."""
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, receive, sending)
        except Exception as error:
            if begun or scope["type"] != "http":
                raise
            log.error("%s %s failed", scope["method"], scope["path"], exc_info=error)
            answer = _full() if _is_full(error) else _unforeseen()
            await answer(scope, receive, send)


def _unforeseen() -> JSONResponse:
    return problem_response(
        500,
        "Internal error",
        "Perijove failed to answer; its log says why.",
        fix="Try again; tell an administrator if it stays.",
    )


def _full() -> JSONResponse:
    return problem_response(
        507,
        "Disk full",
        "No space is left where Perijove keeps its data, so nothing was changed.",
        fix="Tell an administrator, and try again when there is room.",
    )


def _is_full(error: Exception) -> bool:
    """Tell whether the operating system, SQLite or PostgreSQL refused for want of disk."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    said = error.orig if isinstance(error, DBAPIError) else error
    return (
        getattr(said, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        or getattr(said, "sqlstate", None) == "53100"
    )


def install(app: FastAPI) -> None:
    """Register the handlers on ``app``."""
    app.add_middleware(LastResort)

    @app.exception_handler(ProblemError)
    async def _ours(_: Request, error: ProblemError) -> JSONResponse:
        return from_error(error)

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> JSONResponse:
        title = HTTPStatus(error.status_code).phrase
        detail = _WORDS.get(error.status_code, error.detail or title)
        return problem_response(
            error.status_code, title, detail, fix=_LISTED, headers=dict(error.headers or {})
        )

    @app.exception_handler(RequestValidationError)
    async def _validation(_: Request, error: RequestValidationError) -> JSONResponse:
        found = [fault(item) for item in error.errors()]
        return problem_response(
            422,
            found[0].title,
            found[0].detail,
            field=found[0].field,
            fix=found[0].fix,
            errors=[{"field": one.field, "message": one.detail} for one in found],
        )

"""The data plane: ``/services/serve/NAME/invocations`` in, the deployment's replica behind it.

It needs neither the Hub (identities are remembered) nor the database (routes are remembered)
to go on answering, and hands replicas nothing of the caller but the request's body.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route as Path

from perijove.types.base import Principal
from perijove_hub.access import may_see, require_scope
from perijove_hub.api.auth import bearer
from perijove_hub.api.problems import LastResort, from_error, problem_response
from perijove_hub.context import Context
from perijove_hub.exceptions import Invalid, ProblemError, Unauthenticated, Unavailable
from perijove_hub.identity import Identifier
from perijove_hub.models import names
from perijove_hub.models.router import Route, Routes

PREFIX = "/services/serve"

#: Largest request, in bytes; the replica's own limit.
BODY_BYTES = 32 * 1024 * 1024
#: What is larger than this, or of unknown length, is passed on piece by piece.
WHOLE_BYTES = 1024 * 1024
#: Seconds a prediction may take; a connection must come at once.
TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=2, sock_read=600)
#: What a replica may say about its answer. Its process runs a user's code under our origin:
#: no cookies, no redirects, nothing for a browser to run.
ANSWER_HEADERS = ("content-type", "retry-after")
#: Says which version of the model answered.
VERSION = "Perijove-Model-Version"
SAFE = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"}


class _Moved(Exception):
    """Nobody answered at the address, or somebody else did."""


class Gateway:
    """Checks the caller, finds the replica and passes the request on."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._routes = Routes(context.database)
        self._identifier = Identifier(context.topology.hub_api_url, context.database)
        self._http: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Follow the routes for as long as the application lives."""
        # aiohttp, which JupyterHub and MLflow bring along anyway: httpx costs several times the
        # CPU for each request, and the proxy before us is slower than either.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30)
        following = asyncio.create_task(self._routes.follow())
        async with aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=TIMEOUT,
        ) as self._http:
            yield
        following.cancel()
        await self._identifier.close()

    async def index(self, request: Request) -> Response:
        """List the deployments the caller may call."""
        principal = await self._caller(request)
        return JSONResponse(
            [
                {
                    "name": route.name,
                    "model": route.deployment.model,
                    "version": route.deployment.version,
                    "state": route.deployment.state,
                    "url": f"{self._context.topology.public_url}{PREFIX}/{route.name}/invocations",
                }
                for route in await self._routes.all()
                if may_see(principal, route.deployment)
            ]
        )

    async def health(self, request: Request) -> Response:
        """Say that the gateway itself is up; needs no identity and tells nothing."""
        return JSONResponse({"status": "ok"})

    async def invoke(self, request: Request) -> Response:
        """Pass a scoring request on to the deployment's replica."""
        principal = await self._caller(request)
        await self._find(principal, request.path_params["name"])
        return await self._forward(request, principal, "invocations", await _body(request))

    async def ask(self, request: Request) -> Response:
        """Pass on a question without a body: ``ping``, ``health`` or ``version``."""
        principal = await self._caller(request)
        return await self._forward(request, principal, request.url.path.rsplit("/", 1)[1], None)

    async def _forward(
        self, request: Request, principal: Principal, verb: str, body: bytes | None
    ) -> Response:
        name = request.path_params["name"]
        content_type = request.headers.get("content-type", "")
        route = await self._find(principal, name)
        try:
            return await self._send(route, verb, body=body, content_type=content_type)
        except _Moved:
            # It died, or retired a moment ago: only another replica is worth another try, so
            # that no request is sent twice to one.
            await self._routes.refresh()
            again = await self._find(principal, name)
            if again.replica == route.replica:
                raise _starting(again) from None
        try:
            return await self._send(again, verb, body=body, content_type=content_type)
        except _Moved:
            raise _starting(again) from None

    async def _caller(self, request: Request) -> Principal:
        token = bearer(request.headers.get("authorization"))
        principal = await self._identifier.identify(token) if token else None
        if principal is None:
            raise Unauthenticated(
                "The token is unknown or has expired." if token else "No token.",
                fix="Send 'Authorization: Bearer TOKEN'; `perijove token USER` prints one.",
            )
        require_scope(principal, "predict", service="serve")
        return principal

    async def _find(self, principal: Principal, name: str) -> Route:
        route = await self._routes.get(name)
        if route is None or not may_see(principal, route.deployment):
            known = [
                other.name
                for other in await self._routes.all()
                if may_see(principal, other.deployment)
            ]
            raise names.unknown_deployment(name, known)
        if route.address is None:
            raise _starting(route)
        return route

    async def _send(
        self, route: Route, verb: str, *, body: bytes | None, content_type: str
    ) -> Response:
        assert self._http is not None  # noqa: S101 - the lifespan made it
        headers = {"perijove-replica": route.replica or ""}
        if content_type:
            headers["Content-Type"] = content_type
        try:
            answer = await self._http.request(
                "GET" if body is None else "POST",
                f"http://{route.address}/{verb}",
                # aiohttp writes a file in pieces, and bytes all at once.
                data=io.BytesIO(body) if body and len(body) > WHOLE_BYTES else body,
                headers=headers,
                skip_auto_headers=("User-Agent", "Content-Type", "Accept-Encoding"),
                allow_redirects=False,
            )
        except TimeoutError:
            raise Unavailable(
                f"'{route.name}' did not answer within {TIMEOUT.sock_read:g} s.",
                fix="Send fewer rows at a time.",
            ) from None
        except aiohttp.ClientError:
            raise _Moved from None
        return await _answer(answer, {VERSION: str(route.version), **SAFE})


async def _answer(answer: aiohttp.ClientResponse, headers: dict[str, str]) -> Response:
    """Make our answer, with ``headers`` and the few it may set itself, of a replica's."""
    if answer.status == 421:
        answer.release()
        raise _Moved
    if 300 <= answer.status < 400:
        answer.release()
        return problem_response(502, "Bad answer", "The model answered with a redirect.")
    headers |= {name: answer.headers[name] for name in ANSWER_HEADERS if name in answer.headers}
    if answer.content_length is not None and answer.content_length <= WHOLE_BYTES:
        try:
            content = await answer.read()
        except aiohttp.ClientError:
            raise _Moved from None
        return Response(content, answer.status, headers)

    async def pieces() -> AsyncIterator[bytes]:
        async with answer:
            async for piece in answer.content.iter_chunked(64 * 1024):
                yield piece

    return StreamingResponse(pieces(), answer.status, headers)


async def _body(request: Request) -> bytes:
    declared = request.headers.get("content-length", "0")
    size, chunks = 0, []
    if declared.isdigit() and int(declared) <= BODY_BYTES:
        async for chunk in request.stream():
            size += len(chunk)
            if size > BODY_BYTES:
                break
            chunks.append(chunk)
        else:
            return b"".join(chunks)
    raise _TooLarge(
        f"The body is larger than {BODY_BYTES // 2**20} MB.", fix="Send fewer rows at a time."
    )


class _TooLarge(Invalid):
    status = 413
    title = "Too large"


def _starting(route: Route) -> Unavailable:
    reason = route.deployment.reason
    state = "has failed" if route.deployment.state == "failed" else "is starting"
    return Unavailable(
        f"'{route.name}' {state}." + (f" {reason}" if reason else ""),
        fix="Deploy it again or deploy another version."
        if state == "has failed"
        else "Try again in a few seconds.",
    )


def create_gateway(context: Context) -> Starlette:
    """Build the gateway's ASGI application."""
    gateway = Gateway(context)

    async def ours(request: Request, error: Exception) -> Response:
        if not isinstance(error, ProblemError):
            raise error
        response = from_error(error)
        if error.status == 503:
            response.headers["Retry-After"] = "2"
        return response

    async def http(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        return problem_response(
            status,
            "Not found" if status == 404 else "Not allowed",
            "The gateway has no such path." if status == 404 else "Not with this method.",
            fix=f"POST {PREFIX}/NAME/invocations.",
        )

    async def hung_up(request: Request, error: Exception) -> Response:
        return Response(status_code=499)

    one = f"{PREFIX}/{{name}}"
    return Starlette(
        routes=[
            Path(f"{PREFIX}/", gateway.index),
            Path(f"{PREFIX}/health", gateway.health),
            Path(f"{one}/invocations", gateway.invoke, methods=["POST"]),
            *(Path(f"{one}/{verb}", gateway.ask) for verb in ("ping", "health", "version")),
        ],
        exception_handlers={
            ProblemError: ours,
            HTTPException: http,
            ClientDisconnect: hung_up,
        },
        middleware=[Middleware(LastResort)],
        lifespan=gateway.lifespan,
    )

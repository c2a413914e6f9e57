"""The outermost layer around MLflow: who is calling, what they may reach, in which workspace.

Everything is refused unless this says otherwise, files of the pages included.

A token must reach the service ``mlflow`` and hold the verb ``read``; writing asks for no further
verb, because a run is a record of one's own work and the workspace already bounds it. The
control plane's own service reads every workspace and writes none.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Iterable
from urllib.parse import quote, unquote

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from perijove.types.base import Principal
from perijove_hub.access import require_scope
from perijove_hub.api.auth import SAFE_METHODS, bearer
from perijove_hub.api.oauth import BrowserSessions, asked_for, is_navigation, require_same_origin
from perijove_hub.api.problems import problem_response
from perijove_hub.context import Context
from perijove_hub.exceptions import Invalid, NotFound, ProblemError, Refused, Unauthenticated
from perijove_hub.experiments import authorship, pages, surface
from perijove_hub.experiments.workspaces import workspaces_of
from perijove_hub.identity import Identifier

PREFIX = "/services/mlflow"
WORKSPACE_HEADER = "x-mlflow-workspace"

#: Largest body that is read to check its author; MLflow's own limit for a batch is 1 MB.
LARGEST_CHECKED = 16 * 2**20

#: Never passed on: MLflow has no use for the caller's credentials.
_OWN_HEADERS = {b"authorization", b"cookie", WORKSPACE_HEADER.encode(), b"content-length"}

#: What MLflow's client calls our refusals.
_ERROR_CODES = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "ENDPOINT_NOT_FOUND",
    422: "INVALID_PARAMETER_VALUE",
    503: "TEMPORARILY_UNAVAILABLE",
}


class Front:
    """ASGI application that lets identified callers through to ``mlflow``.

    ``open_workspace(name, create)`` returns the id of a workspace's default experiment, or
    ``None`` when there is no such workspace and it is not to be made; it may block.
    """

    def __init__(
        self,
        context: Context,
        mlflow: ASGIApp,
        *,
        open_workspace: Callable[[str, bool], str | None],
    ) -> None:
        self._context = context
        self._mlflow = mlflow
        self._open_workspace = open_workspace
        self._defaults: dict[str, str] = {}
        self._identifier = Identifier(context.topology.hub_api_url, context.database)
        self._sessions = BrowserSessions(context, "mlflow", PREFIX)
        self._login = self._sessions.routes()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            try:
                answer = await self._answer(Request(scope, receive))
            except ProblemError as error:
                answer = self._refusal(Request(scope), error)
            await answer(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        # MLflow's own start would look for Docker containers to remove; it is not run.
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            else:
                await self._identifier.close()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _answer(self, request: Request) -> ASGIApp:
        path = request.scope["path"]
        if path == PREFIX:
            return RedirectResponse(f"{PREFIX}/", 307)
        if path == f"{PREFIX}/health" and request.method in SAFE_METHODS:
            return JSONResponse({"status": "ok"})
        if self._is_past_the_proxy(request):
            return RedirectResponse(self._context.topology.public_url + asked_for(request.scope))
        for route in self._login:
            if route.matches(request.scope)[0] is Match.FULL:
                return await _response(route.endpoint, request)
        principal = await self._identify(request)
        if not path.startswith(f"{PREFIX}/"):
            raise _not_offered()
        inner = path.removeprefix(PREFIX)
        if own := pages.answer(request.method, inner, principal):
            return own
        offer = surface.find(request.method, inner)
        if offer is None:
            raise _not_offered()
        if principal.kind == "service" and offer.writes:
            raise Refused("The control plane only reads here.")
        _require_plain(inner, request.query_params.getlist("path"))
        authorship.refuse_path(offer.call)
        workspace = await self._choose(request, principal)
        body = await self._signed(request, offer.call, principal, self._defaults[workspace])
        return self._forward(inner, workspace, body, artifact=offer.artifact)

    def _is_past_the_proxy(self, request: Request) -> bool:
        """Tell whether a person followed a link with our own port, as MLflow's client prints."""
        topology = self._context.topology
        own = {f"{seen.host}:{seen.mlflow_port}" for seen in (topology, topology.inside)}
        public = topology.public_url.partition("://")[2]
        return request.headers.get("host") in own - {public} and is_navigation(request)

    async def _identify(self, request: Request) -> Principal:
        token = _token(request)
        if token is None:
            token = self._sessions.token(request)
            if token is not None and request.method not in SAFE_METHODS:
                require_same_origin(request, self._context)
        if token is None:
            raise Unauthenticated(
                "MLflow is open to Perijove's users only.",
                fix="Set MLFLOW_TRACKING_TOKEN to a token; `perijove token USER` prints one.",
            )
        principal = await self._identifier.identify(token)
        if principal is None:
            raise Unauthenticated(
                "The token is unknown or has expired.",
                fix="Ask for a new one: `perijove token USER`.",
            )
        if principal.kind == "service" and principal.name == "perijove":
            require_reach(principal)
        elif principal.kind == "service":
            raise Refused(f"The service '{principal.name}' has no business with MLflow.")
        else:
            require_scope(principal, "read", service="mlflow")
        return principal

    async def _choose(self, request: Request, principal: Principal) -> str:
        """Return the workspace of a request; what the caller asks for only selects."""
        asked = request.headers.get(WORKSPACE_HEADER, "").strip()
        if principal.kind == "service":
            if not asked:
                raise Invalid(
                    "A service must say which workspace it reads.", field=WORKSPACE_HEADER
                )
            await self._open(asked, create=False)
            return asked
        own = workspaces_of(principal)
        workspace = asked or own[0]
        if workspace in own:
            await self._open(workspace, create=True)
        elif principal.admin:
            await self._open(workspace, create=False)
        else:
            raise Refused(
                "That workspace is not one of yours.",
                field=WORKSPACE_HEADER,
                fix=f"Yours are: {', '.join(own)}.",
            )
        return workspace

    async def _open(self, workspace: str, *, create: bool) -> None:
        if workspace in self._defaults:
            return
        default = await run_in_threadpool(self._open_workspace, workspace, create)
        if default is None:
            raise NotFound("There is no such workspace.", field=WORKSPACE_HEADER)
        self._defaults[workspace] = default

    async def _signed(
        self, request: Request, call: str, principal: Principal, default_experiment: str
    ) -> bytes | None:
        if not authorship.concerns(call):
            return None
        chunks, size = [], 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > LARGEST_CHECKED:
                raise Invalid(
                    f"The body is larger than {LARGEST_CHECKED >> 20} MiB.",
                    fix="Send less at once.",
                )
            chunks.append(chunk)
        return authorship.sign(
            call,
            b"".join(chunks),
            user=principal.name,
            default_experiment=default_experiment,
        )

    def _forward(self, path: str, workspace: str, body: bytes | None, *, artifact: bool) -> ASGIApp:
        async def forward(scope: Scope, receive: Receive, send: Send) -> None:
            headers = list(_passed(scope["headers"], keep_length=body is None))
            headers.append((WORKSPACE_HEADER.encode(), workspace.encode()))
            if body is not None:
                headers.append((b"content-length", str(len(body)).encode()))
            inner = {
                **scope,
                "path": path,
                "raw_path": quote(path).encode(),
                "root_path": "",
                "headers": headers,
            }
            await self._mlflow(
                inner,
                receive if body is None else _replay(body, receive),
                _sandboxed(send) if artifact else send,
            )

        return forward

    def _refusal(self, request: Request, error: ProblemError) -> Response:
        if error.status == 401 and is_navigation(request):
            return self._sessions.to_login(asked_for(request.scope))
        words = f"{error.detail} {error.fix or ''}".strip()
        return problem_response(
            error.status,
            error.title,
            error.detail,
            field=error.field,
            fix=error.fix,
            headers={"WWW-Authenticate": "Bearer"} if error.status == 401 else None,
            error_code=_ERROR_CODES.get(error.status, "INTERNAL_ERROR"),
            message=words,
        )


def require_reach(principal: Principal) -> None:
    """Refuse a service whose token was not given MLflow. Raises ``Refused``."""
    if not {"access:services", "access:services!service=mlflow"} & set(principal.scopes):
        raise Refused("This service's token does not reach MLflow.")


def _token(request: Request) -> str | None:
    """Take the token out of ``Authorization``: Bearer, the Hub's own, or Basic's password."""
    given = request.headers.get("authorization")
    kind, _, encoded = (given or "").partition(" ")
    if kind.lower() != "basic":
        return bearer(given)
    try:
        decoded = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    return decoded.partition(":")[2] or None


def _require_plain(path: str, named: Iterable[str]) -> None:
    """Refuse paths that climb, however often they are encoded. Raises ``Invalid``."""
    for text in (path, *named):
        plain = text
        for _ in range(10):
            if (decoded := unquote(plain)) == plain:
                break
            plain = decoded
        if "\\" in plain or "\0" in plain or ".." in plain.split("/"):
            raise Invalid("A path must not contain '..' or '\\'.", field="path")


def _not_offered() -> NotFound:
    return NotFound(
        "This part of MLflow is not offered here.",
        fix="Tracking, the model registry and artifacts are; see Perijove's documentation.",
    )


async def _response(
    endpoint: Callable[[Request], Awaitable[Response]], request: Request
) -> Response:
    return await endpoint(request)


def _passed(
    headers: Iterable[tuple[bytes, bytes]], *, keep_length: bool
) -> Iterable[tuple[bytes, bytes]]:
    for name, value in headers:
        if name not in _OWN_HEADERS or (name == b"content-length" and keep_length):
            yield name, value


def _replay(body: bytes, receive: Receive) -> Receive:
    """Give ``body`` once, then whatever the connection still says."""
    sent = False

    async def replay() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _sandboxed(send: Send) -> Send:
    """Keep a file that somebody logged from acting as a page of ours."""

    async def sandboxed(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
            headers["X-Content-Type-Options"] = "nosniff"
        await send(message)

    return sandboxed

"""Browser sessions by the Hub's OAuth, for the API and for MLflow's pages.

The session is a cookie that holds the Hub token encrypted: no process keeps a session, so any
of them can be killed, and nobody who reads the cookie jar or a log has a token.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit

import httpx
from cryptography.fernet import Fernet, InvalidToken
from fastapi import FastAPI
from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from perijove_hub.context import Context
from perijove_hub.exceptions import Invalid, Refused, Unavailable

#: Seconds a browser stays logged in; the Hub may end its token sooner.
SESSION_S = 8 * 3600
#: Seconds a person may take to log in.
LOGIN_S = 600


def safe_next(target: str | None, prefix: str) -> str:
    """Return ``target`` when it is a path under ``prefix`` here, or the start page.

    Everything a browser could read as another host, or as a way up and out, is refused.
    """
    start = f"{prefix}/"
    if not target or len(target) > 2000 or not target.isascii() or not target.isprintable():
        return start
    path = unquote(target.partition("?")[0].partition("#")[0])
    if (
        not target.startswith(start)
        or "\\" in target + path
        or "//" in path
        or {".", ".."} & set(path.split("/"))
        or not path.isprintable()
    ):
        return start
    return target


def is_navigation(request: HTTPConnection) -> bool:
    """Tell whether a person opened an address, as against a script or program calling."""
    return (
        request.scope.get("method") == "GET"
        and "authorization" not in request.headers
        and "text/html" in request.headers.get("accept", "")
        and request.headers.get("sec-fetch-mode", "navigate") == "navigate"
    )


def require_same_origin(request: HTTPConnection, context: Context) -> None:
    """Refuse a change that comes with a cookie but not from our own pages.

    Raises ``Refused``; a missing ``Origin`` is refused too.
    """
    public = urlsplit(context.topology.public_url)
    if request.headers.get("origin") != f"{public.scheme}://{public.netloc}":
        raise Refused(
            "A browser session may change things only from Perijove's own pages.",
            fix=f"Open Perijove at {context.topology.public_url}, or send a token in an "
            "Authorization header.",
        )


@dataclass(frozen=True)
class BrowserSessions:
    """Logs browsers in for one service and reads their sessions."""

    context: Context
    service: str
    prefix: str

    @property
    def cookie(self) -> str:
        """The session cookie's name."""
        return f"perijove-session-{self.service}"

    def routes(self) -> list[Route]:
        """Login, the Hub's way back, and logout."""
        return [
            Route(f"{self.prefix}/login", self.login, include_in_schema=False),
            Route(f"{self.prefix}/oauth_callback", self.callback, include_in_schema=False),
            Route(f"{self.prefix}/logout", self.logout, methods=["POST"], include_in_schema=False),
        ]

    def token(self, request: HTTPConnection) -> str | None:
        """Return the Hub token of the browser's session."""
        opened = self._open(request.cookies.get(self.cookie), "session", SESSION_S)
        return opened["token"] if opened else None

    async def login(self, request: Request) -> Response:
        """Send the browser to the Hub, to come back to ``?next=``."""
        return self.to_login(request.query_params.get("next"))

    def to_login(self, target: str | None) -> Response:
        """Build the redirect to the Hub that ends at ``target``."""
        state, verifier = secrets.token_urlsafe(24), secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())
        query = urlencode(
            {
                "client_id": f"service-{self.service}",
                "redirect_uri": f"{self.prefix}/oauth_callback",
                "response_type": "code",
                "state": state,
                "code_challenge": challenge.decode().rstrip("="),
                "code_challenge_method": "S256",
            }
        )
        # A path, so that the browser stays on the host name it knows and keeps its cookies.
        base = urlsplit(self.context.topology.public_url).path
        response = RedirectResponse(f"{base}/hub/api/oauth2/authorize?{query}", 302)
        begun = {"state": state, "verifier": verifier, "next": safe_next(target, self.prefix)}
        self._set(response, self._state_cookie(state), self._seal(begun, "login"), LOGIN_S)
        response.headers["Cache-Control"] = "no-store"
        return response

    async def callback(self, request: Request) -> Response:
        """Exchange the Hub's code for a token and start the session."""
        state = request.query_params.get("state", "")
        name = self._state_cookie(state)
        begun = self._open(request.cookies.get(name), "login", LOGIN_S)
        if begun is None or not hmac.compare_digest(begun["state"].encode(), state.encode()):
            raise Invalid(
                "This login was not begun in this browser, or took too long.",
                field="state",
                fix=f"Start again at {self.prefix}/.",
            )
        code = request.query_params.get("code")
        if not code:
            raise Refused("The Hub did not let you in.", fix=f"Start again at {self.prefix}/.")
        token = await self._exchange(code, begun["verifier"])
        response = RedirectResponse(safe_next(begun["next"], self.prefix), 302)
        self._set(response, self.cookie, self._seal({"token": token}, "session"), SESSION_S)
        response.delete_cookie(name, path=f"{self.prefix}/")
        response.headers["Cache-Control"] = "no-store"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    async def logout(self, request: Request) -> Response:
        """End the browser's session here."""
        require_same_origin(request, self.context)
        response = RedirectResponse(urlsplit(self.context.topology.public_url).path + "/hub/", 303)
        response.delete_cookie(self.cookie, path=f"{self.prefix}/")
        return response

    async def _exchange(self, code: str, verifier: str) -> str:
        form = {
            "client_id": f"service-{self.service}",
            "client_secret": self.context.data.secret(f"service-{self.service}"),
            "grant_type": "authorization_code",
            "code": code,
            "code_verifier": verifier,
            "redirect_uri": f"{self.prefix}/oauth_callback",
        }
        url = f"{self.context.topology.hub_api_url}/oauth2/token"
        try:
            async with httpx.AsyncClient(timeout=10, trust_env=False) as http:
                response = await http.post(url, data=form)
        except httpx.TransportError as error:
            raise Unavailable(
                "The Hub does not answer, so nobody can log in.", fix="Try again in a few seconds."
            ) from error
        if response.is_error:
            raise Refused(
                "The Hub did not accept this login.", fix=f"Start again at {self.prefix}/."
            )
        token: str = response.json()["access_token"]
        return token

    def _set(self, response: Response, name: str, value: str, max_age: int) -> None:
        secure = urlsplit(self.context.topology.public_url).scheme == "https"
        response.set_cookie(
            name,
            value,
            max_age=max_age,
            path=f"{self.prefix}/",
            httponly=True,
            samesite="lax",
            secure=secure,
        )

    def _state_cookie(self, state: str) -> str:
        # One for each login under way, so that two tabs do not undo each other.
        return f"perijove-login-{hashlib.sha256(state.encode()).hexdigest()[:16]}"

    def _fernet(self, purpose: str) -> Fernet:
        secret = self.context.data.secret("cookie").encode()
        key = hmac.digest(secret, f"{purpose}:{self.service}".encode(), "sha256")
        return Fernet(base64.urlsafe_b64encode(key))

    def _seal(self, content: dict[str, str], purpose: str) -> str:
        return self._fernet(purpose).encrypt(json.dumps(content).encode()).decode()

    def _open(self, sealed: str | None, purpose: str, max_age: int) -> dict[str, str] | None:
        if not sealed:
            return None
        try:
            opened: dict[str, str] = json.loads(
                self._fernet(purpose).decrypt(sealed.encode(), ttl=max_age)
            )
        except (InvalidToken, ValueError):
            return None
        return opened


class LoginRedirect:
    """Turns a 401 into a way to the Hub's login, for people and not for programs."""

    def __init__(self, app: ASGIApp, sessions: BrowserSessions) -> None:
        self.app = app
        self.sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything through but a 401 that answers a navigation."""
        if scope["type"] != "http" or not is_navigation(HTTPConnection(scope)):
            await self.app(scope, receive, send)
            return
        dropped = False

        async def sending(message: Message) -> None:
            nonlocal dropped
            if message["type"] == "http.response.start" and message["status"] == 401:
                dropped = True
                await self.sessions.to_login(asked_for(scope))(scope, receive, send)
            elif not dropped:
                await send(message)

        await self.app(scope, receive, sending)


def asked_for(scope: Scope) -> str:
    """Return the path and query of a request, as ``?next=`` takes it."""
    query = scope.get("query_string", b"").decode("ascii", "replace")
    return quote(scope["path"]) + (f"?{query}" if query else "")


def install(app: FastAPI, context: Context, *, service: str, prefix: str) -> None:
    """Add login routes to ``app`` and a way to read the session's token."""
    sessions = BrowserSessions(context, service, prefix)

    def session_token(request: Any) -> str | None:
        return sessions.token(request)

    app.state.session_token = session_token
    app.router.routes.extend(sessions.routes())
    app.add_middleware(LoginRedirect, sessions=sessions)

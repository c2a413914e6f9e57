"""Forward the browser's requests to the control plane with the user's own token."""

from __future__ import annotations

import httpx
from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado import web
from tornado.iostream import StreamClosedError

from perijove.server.upstream import (
    RESPONSE_HEADERS,
    Upstream,
    content_security_policies,
)
from perijove.types.base import Problem

UNREACHABLE = Problem(
    title="Perijove does not answer",
    status=503,
    detail="The control plane cannot be reached from your server. Your notebooks are not affected.",
    fix="Try again in a minute; if it stays, ask an administrator to run `perijove status`.",
)
NOT_FOUND = Problem(
    title="Not found", status=404, detail="There is nothing of Perijove's at this address."
)
REDIRECTED = Problem(
    title="Perijove is misconfigured",
    status=502,
    detail="The control plane answered with a redirect, which is not followed with your token.",
    fix="Ask an administrator to check PERIJOVE_URL: it ends in /services/perijove.",
)


def not_configured(variable: str) -> Problem:
    """Say which environment variable is missing."""
    return Problem(
        title="Perijove is not connected",
        status=503,
        detail=f"{variable} is not set in this server, so there is no Perijove to talk to.",
        fix=f"Start the server from the Hub, which sets it, or export {variable} before "
        "starting JupyterLab.",
    )


class ForwardHandler(APIHandler):  # type: ignore[misc]
    """Forwards ``/perijove/api/REST`` to ``PERIJOVE_URL/api/v1/REST``."""

    auth_resource = "perijove"

    def initialize(self, upstream: Upstream) -> None:
        """Take the upstream all requests of this server share."""
        self.upstream = upstream

    @property
    def _track_activity(self) -> bool:
        # The panel polls; an idle server with an open tab must still count as idle.
        return bool(self.request.method != "GET")

    @web.authenticated
    @authorized  # type: ignore[untyped-decorator]
    async def get(self) -> None:
        """Read."""
        await self._forward()

    @web.authenticated
    @authorized  # type: ignore[untyped-decorator]
    async def post(self) -> None:
        """Create or act."""
        await self._forward()

    @web.authenticated
    @authorized  # type: ignore[untyped-decorator]
    async def put(self) -> None:
        """Set."""
        await self._forward()

    @web.authenticated
    @authorized  # type: ignore[untyped-decorator]
    async def patch(self) -> None:
        """Change."""
        await self._forward()

    @web.authenticated
    @authorized  # type: ignore[untyped-decorator]
    async def delete(self) -> None:
        """Delete."""
        await self._forward()

    async def _forward(self) -> None:
        if self.upstream.missing:
            self._refuse(not_configured(self.upstream.missing))
            return
        prefix = url_path_join(self.base_url, "perijove/api/")
        try:
            request = self.upstream.request(
                self.request.method or "GET",
                self.request.path[len(prefix) :],
                query=self.request.query,
                headers=self.request.headers,
                body=self.request.body,
            )
        except ValueError:
            self._refuse(NOT_FOUND)
            return
        try:
            response = await self.upstream.send(request)
        except httpx.HTTPError as error:
            # The class alone: messages of the client may quote the URL, never the token.
            self.log.warning("Perijove does not answer: %s", type(error).__name__)
            self._refuse(UNREACHABLE)
            return
        try:
            await self._answer(response)
        finally:
            await response.aclose()

    async def _answer(self, response: httpx.Response) -> None:
        if response.has_redirect_location:
            self._refuse(REDIRECTED)
            return
        self.set_status(response.status_code)
        for name in RESPONSE_HEADERS:
            if name in response.headers:
                self.set_header(name, response.headers[name])
        self.clear_header("Content-Security-Policy")
        for policy in content_security_policies(response.headers.get("Content-Security-Policy")):
            self.add_header("Content-Security-Policy", policy)
        try:
            async for chunk in response.aiter_bytes():
                self.write(chunk)
                await self.flush()
        except StreamClosedError:
            return  # The browser has left.
        except httpx.HTTPError as error:
            self.log.warning("Perijove broke off its answer: %s", type(error).__name__)
            self._break_off()
            return
        await self.finish(set_content_type=response.headers.get("Content-Type", ""))

    def _refuse(self, problem: Problem) -> None:
        self.set_status(problem.status)
        self.finish(
            problem.model_dump_json(exclude_none=True),
            set_content_type="application/problem+json",
        )

    def _break_off(self) -> None:
        """End a half-sent answer so that the browser cannot take it for a whole one."""
        if self._headers_written:
            self.detach().close()
        else:
            self._refuse(UNREACHABLE)

"""Take a shared notebook: the user's server writes the copy, as the user, into the home."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
from anyio.to_thread import run_sync
from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from pydantic import ValidationError
from tornado import web

from perijove import copies
from perijove.exceptions import PerijoveError
from perijove.server.forward import NOT_FOUND, UNREACHABLE, not_configured
from perijove.server.upstream import Upstream
from perijove.types.base import Problem
from perijove.types.shares import Share, Taken


class TakeHandler(APIHandler):  # type: ignore[misc]
    """``POST /perijove/shares/ID/take`` copies a share into ``Shared with me``.

    The copy is a file like any other: Jupyter has no signature of it, so that outputs in it do
    not run until the user has run the notebook or trusts it.
    """

    auth_resource = "perijove"

    def initialize(self, upstream: Upstream) -> None:
        """Take the upstream all requests of this server share."""
        self.upstream = upstream

    @web.authenticated
    @authorized  # type: ignore[untyped-decorator]
    async def post(self, share_id: str) -> None:
        """Copy and say where the copy is."""
        if self.upstream.missing:
            self._answer(not_configured(self.upstream.missing))
            return
        try:
            share = await self._fetch(f"shares/{share_id}")
            notebook = await self._fetch(f"shares/{share_id}/notebook")
        except ValueError:
            self._answer(NOT_FOUND)
            return
        except httpx.HTTPError as error:
            self.log.warning("Perijove does not answer: %s", type(error).__name__)
            self._answer(UNREACHABLE)
            return
        for response in (share, notebook):
            if response.status_code != httpx.codes.OK:
                self._pass_on(response)
                return
        await self._write(share.content, notebook.content)

    async def _write(self, about: bytes, notebook: bytes) -> None:
        root = Path(self.contents_manager.root_dir)
        try:
            share = Share.model_validate_json(about)
            folder = copies.own_folder(root)
            path = await run_sync(copies.write, folder, share.name, notebook)
        except (ValidationError, PerijoveError, OSError) as error:
            # An OSError's own words would quote the path twice.
            why = error.strerror if isinstance(error, OSError) else str(error)
            self._answer(
                Problem(
                    title="Not copied",
                    status=409,
                    detail=f"The notebook cannot be written into '{copies.FOLDER}': "
                    f"{str(why).rstrip('.')}.",
                    fix=f"Is there room, and is '{copies.FOLDER}' a folder you may write?",
                )
            )
            return
        taken = Taken(
            path=path.relative_to(root).as_posix(),
            sender=share.sender,
            image=share.image,
            image_digest=share.image_digest,
        )
        self.set_status(201)
        self.finish(taken.model_dump_json())

    async def _fetch(self, path: str) -> httpx.Response:
        request = self.upstream.request(
            "GET", path, query="", headers={"Accept": "application/json"}, body=b""
        )
        response = await self.upstream.send(request)
        try:
            await response.aread()
        finally:
            await response.aclose()
        return response

    def _pass_on(self, response: httpx.Response) -> None:
        """Give the control plane's own refusal to the browser; a redirect is not followed."""
        if response.is_redirect or response.status_code < 400:
            self._answer(UNREACHABLE)
            return
        self.set_status(response.status_code)
        self.finish(response.content, set_content_type="application/problem+json")

    def _answer(self, problem: Problem) -> None:
        self.set_status(problem.status)
        self.finish(
            problem.model_dump_json(exclude_none=True),
            set_content_type="application/problem+json",
        )


def routes(upstream: Upstream) -> list[tuple[str, Any, dict[str, Any]]]:
    """Return what the extension registers."""
    return [(r"/perijove/shares/([^/]+)/take", TakeHandler, {"upstream": upstream})]

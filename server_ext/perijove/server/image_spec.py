"""Read an image's specification for JupyterLab's form: a browser knows no TOML."""

from __future__ import annotations

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web

from perijove.types.base import Problem

#: Most bytes of a specification, which is a page of text.
MOST = 2**20


class ImageSpecHandler(APIHandler):  # type: ignore[misc]
    """``POST /perijove/image-spec`` answers a specification's TOML with the same as JSON.

    A mistake is a problem document whose ``field`` is the key at fault. Nothing is built.
    """

    auth_resource = "perijove"

    @web.authenticated
    @authorized  # type: ignore[untyped-decorator]
    async def post(self) -> None:
        """Read the body."""
        # Not at the start of the server, which somebody waits for.
        from perijove.specification import NotASpecification, parse

        try:
            if len(self.request.body) > MOST:
                detail = f"The file has more than {MOST // 1024} KiB, so it is no specification."
                raise NotASpecification(Problem(title="Too large", status=422, detail=detail))
            text = self.request.body.decode("utf-8-sig", errors="replace")
            spec = parse(text, name=self.get_query_argument("name", "The file"))
        except NotASpecification as error:
            self.set_status(422)
            self.finish(
                error.problem.model_dump_json(exclude_none=True),
                set_content_type="application/problem+json",
            )
            return
        self.finish(spec.model_dump_json(), set_content_type="application/json")

"""The one HTTP client: magics, Python API, CLI, runner and server extension all use it.

The environment configures it, so that a notebook never holds a URL or a token:

``PERIJOVE_URL``
    Base of the control plane as reachable from here, ending in ``/services/perijove``.
``PERIJOVE_SERVE_URL``
    Base of the gateway as reachable from here, ending in ``/services/serve``.
``PERIJOVE_TOKEN`` or ``JUPYTERHUB_API_TOKEN``
    Who is calling.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel

from perijove.exceptions import ApiError, Intercepted, NotConfigured, Unreachable
from perijove.types.base import Page, Problem

M = TypeVar("M", bound=BaseModel)

#: Seconds; a query or a crawl may take long, a connection must not.
TIMEOUT = httpx.Timeout(120.0, connect=10.0)


def problem_from(response: httpx.Response) -> Problem:
    """Read a problem document, or make one of whatever a proxy in between answered."""
    try:
        return Problem.model_validate(response.json())
    except ValueError:
        title = f"HTTP {response.status_code} {response.reason_phrase}"
        return Problem(
            title=title,
            status=response.status_code,
            detail=f"Not Perijove but something before it answered: {title}.",
            fix=f"Is the address right, {response.url}? If so, try again in a few seconds."
            if response.status_code >= 500
            else f"Check the address: {response.url}.",
        )


def own_token() -> str:
    """Return the token the environment gives; raises ``NotConfigured`` and never shows it."""
    for name in ("PERIJOVE_TOKEN", "JUPYTERHUB_API_TOKEN"):
        token = os.environ.get(name, "").strip()
        if token and not (token.isascii() and token.isprintable()):
            # It would not fit into a header, and httpx quotes what does not.
            raise NotConfigured(f"{name} is no token: it holds characters that none has.")
        if token:
            return token
    raise NotConfigured("No token: export PERIJOVE_TOKEN, which `perijove token USER` prints.")


def _is_address(url: str) -> bool:
    try:
        return httpx.URL(url).scheme in ("http", "https") and bool(httpx.URL(url).host)
    except httpx.InvalidURL:
        return False


class Client:
    """Talks to the control plane as one user.

    Raises ``NotConfigured`` when neither arguments nor environment say where and who,
    ``Unreachable`` when nothing answers, and ``ApiError`` for every refusal.
    """

    def __init__(self, url: str | None = None, token: str | None = None) -> None:
        url = url or os.environ.get("PERIJOVE_URL", "").strip()
        if not url:
            raise NotConfigured(
                "PERIJOVE_URL is not set, so there is no Perijove to talk to. "
                "Inside a workspace it is set for you; elsewhere export "
                "PERIJOVE_URL=http://HOST:8000/services/perijove."
            )
        if not _is_address(url):
            raise NotConfigured(
                f"PERIJOVE_URL is '{url}', which is no address. Write it as "
                "http://HOST:8000/services/perijove."
            )
        token = token or own_token()
        self.url = url.rstrip("/")
        self._http = httpx.Client(
            base_url=self.url + "/api/v1",
            headers={"Authorization": f"Bearer {token}"},
            timeout=TIMEOUT,
            trust_env=False,
        )

    def send(
        self,
        method: str,
        path: str,
        *,
        json: BaseModel | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send one request to ``/api/v1`` + ``path``; every failure is a ``PerijoveError``."""
        # What a change does not name stays as it is; with its defaults it would name all.
        named = json.model_dump_json(exclude_unset=method == "PATCH") if json is not None else None
        content = named.encode() if named is not None else None
        sent = {"Content-Type": "application/json"} if content is not None else {}
        query = {k: v for k, v in (params or {}).items() if v is not None}
        try:
            response = self._http.request(
                method, path, content=content, params=query, headers={**sent, **(headers or {})}
            )
        except httpx.TransportError as error:
            raise Unreachable(
                f"Perijove at {self.url} did not answer ({error}). Your work here is not "
                "affected; try again, or ask an administrator to run `perijove status`."
            ) from error
        # A redirect leads away from the API: to a login page, or to another server.
        if not response.is_success:
            ours = response.headers.get("content-type", "").startswith("application/problem+json")
            raise (ApiError if ours else Intercepted)(problem_from(response))
        return response

    def get(self, model: type[M], path: str, /, **params: Any) -> M:
        """GET ``path`` and read the answer as ``model``."""
        return model.model_validate_json(self.send("GET", path, params=params).content)

    def pages(self, item: type[M], path: str, **query: Any) -> Iterator[M]:
        """Yield every item of a list, page by page."""
        cursor = None
        while True:
            page = self.get(Page[item], path, cursor=cursor, **query)  # type: ignore[valid-type]
            yield from page.items
            cursor = page.next_cursor
            if cursor is None:
                return

    def post(
        self, model: type[M], path: str, body: BaseModel | None = None, *, key: str | None = None
    ) -> M:
        """POST ``body`` and read the answer as ``model``; ``key`` makes a retry harmless."""
        headers = {"Idempotency-Key": key} if key else {}
        return model.model_validate_json(
            self.send("POST", path, json=body, headers=headers).content
        )

    def patch(self, model: type[M], path: str, body: BaseModel) -> M:
        """PATCH ``path`` with what is set in ``body``, and read the answer as ``model``."""
        return model.model_validate_json(self.send("PATCH", path, json=body).content)

    def put(self, model: type[M], path: str, body: BaseModel) -> M:
        """PUT ``body`` and read the answer as ``model``."""
        return model.model_validate_json(self.send("PUT", path, json=body).content)

    def delete(self, path: str) -> None:
        """DELETE ``path``."""
        self.send("DELETE", path)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

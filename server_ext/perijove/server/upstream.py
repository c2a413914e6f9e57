"""The control plane as a user's server reaches it."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, unquote, urlencode

import httpx

#: A notebook's run page or a large preview may take long; a connection must not.
TIMEOUT = httpx.Timeout(120.0, connect=5.0)

#: What a browser may say to the control plane. Cookies and credentials stay here.
REQUEST_HEADERS = ("Accept", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match")

#: What the control plane may say to a browser, besides its content security policy.
RESPONSE_HEADERS = (
    "Cache-Control",
    "Content-Disposition",
    "Content-Type",
    "ETag",
    "Last-Modified",
    # Of a notebook that its run still writes.
    "Perijove-Partial",
    "Retry-After",
)

#: Query arguments meant for this server: its own credentials.
OWN_ARGUMENTS = frozenset({"token", "_xsrf"})


class BadPathError(ValueError):
    """A path that would leave ``/api/v1`` or that no client of ours writes."""


def safe_path(raw: str) -> str:
    """Rebuild a percent-encoded path so that it cannot leave the folder it is joined to.

    Raises ``BadPathError``.
    """
    segments = []
    for raw_segment in raw.split("/"):
        segment = unquote(raw_segment, errors="strict") if raw_segment else ""
        # Whoever decodes twice, or takes a backslash for a slash, must find nothing either.
        hidden = unquote(segment).replace("\\", "/").split("/")
        if any(part in ("", ".", "..") for part in hidden):
            raise BadPathError(raw)
        # A file that a run left may have a line's end in its name; it stays percent-encoded.
        if any(
            (ord(character) < 32 and character not in "\t\n") or ord(character) == 127
            for character in segment
        ):
            raise BadPathError(raw)
        segments.append(quote(segment, safe=""))
    return "/".join(segments)


def safe_query(raw: str) -> str:
    """Drop the arguments that authenticate the browser to this server."""
    pairs = parse_qsl(raw, keep_blank_values=True)
    return urlencode([(name, value) for name, value in pairs if name not in OWN_ARGUMENTS])


class Upstream:
    """Sends requests to ``URL/api/v1`` in the user's name; ``url`` is ``None`` when unknown."""

    def __init__(self, url: str | None, token: str | None) -> None:
        self.url = url.rstrip("/") if url else None
        self.token = token
        self._http = httpx.AsyncClient(timeout=TIMEOUT, trust_env=False, follow_redirects=False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Upstream:
        """Read where and who, as ``perijove.client`` does."""
        token = environment.get("PERIJOVE_TOKEN") or environment.get("JUPYTERHUB_API_TOKEN")
        return cls(environment.get("PERIJOVE_URL"), token)

    @property
    def missing(self) -> str | None:
        """Name the environment variable that is not set, or ``None``."""
        if not self.url:
            return "PERIJOVE_URL"
        return None if self.token else "PERIJOVE_TOKEN"

    def request(
        self, method: str, path: str, *, query: str, headers: Mapping[str, str], body: bytes
    ) -> httpx.Request:
        """Build the request for ``path``, percent-encoded and relative to ``/api/v1``.

        Raises ``BadPathError``.
        """
        query = safe_query(query)
        url = f"{self.url}/api/v1/{safe_path(path)}" + (f"?{query}" if query else "")
        passed = {name: headers[name] for name in REQUEST_HEADERS if name in headers}
        passed["Authorization"] = f"Bearer {self.token}"
        # Bodies are passed on as they come, so they had better come plain.
        passed["Accept-Encoding"] = "identity"
        return self._http.build_request(method, url, headers=passed, content=body or None)

    async def send(self, request: httpx.Request) -> httpx.Response:
        """Send it and return when the headers are here; the caller closes the response."""
        return await self._http.send(request, stream=True)

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()


def content_security_policies(upstream: str | None) -> list[str]:
    """Policies for a forwarded answer: the control plane's own, sandboxed in any case.

    Answers carry what others wrote (rendered notebooks, logs) and arrive under the origin of
    the user's server: opened as a page, they must not act in the user's name. The frame of
    our own panel is the only one that may show them.
    """
    policies = [upstream] if upstream else ["default-src 'none'"]
    if "sandbox" not in (upstream or "").replace(";", " ").lower().split():
        policies.append("sandbox")
    return [*policies, "frame-ancestors 'self'"]

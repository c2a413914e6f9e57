"""Ask the Hub which servers run, and have it stop one, with the control plane's own token."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx

from perijove_hub.context import Context
from perijove_hub.exceptions import Unavailable

#: Users in one answer of the Hub, which gives no more.
PAGE = 200


@dataclass(frozen=True)
class Server:
    """A user's server that runs, or is being started or stopped."""

    user: str
    name: str
    """Empty for the default one."""
    ready: bool
    pending: str | None
    """``spawn`` or ``stop``."""
    started_at: datetime | None
    last_activity: datetime | None
    groups: list[str] = field(default_factory=list)
    """Of its user, now."""
    choice: dict[str, Any] = field(default_factory=dict)
    """The Hub's ``user_options``."""

    @property
    def holder(self) -> str:
        """What leases and usage call it: ``USER/SERVER``."""
        return f"{self.user}/{self.name}"


def running(context: Context) -> list[Server]:
    """Return every server that has not stopped. Raises ``Unavailable`` when the Hub is away."""
    with _hub(context) as hub:
        return [server for user in _users(hub) for server in _servers(user)]


def stop(context: Context, *, user: str, server: str = "") -> bool:
    """Have the Hub stop a server; false when it has none that runs.

    Returns before it has stopped. Raises ``Unavailable`` when the Hub is away or refuses.
    """
    path = f"/users/{quote(user, safe='')}/server"
    if server:
        path += f"s/{quote(server, safe='')}"
    with _hub(context) as hub:
        answer = _send(hub, "DELETE", path)
    # 400: it is being started, or is not running, which for the default server is no 404.
    if answer.status_code in (400, 404):
        return False
    if answer.is_error:
        raise Unavailable(f"The Hub would not stop a server: it answered {answer.status_code}.")
    return True


def _hub(context: Context) -> httpx.Client:
    return httpx.Client(
        base_url=context.topology.hub_api_url,
        headers={
            "Authorization": f"token {context.data.secret('service-perijove')}",
            "Accept": "application/jupyterhub-pagination+json",
        },
        timeout=30,
        trust_env=False,
    )


def _users(hub: httpx.Client) -> Iterator[dict[str, Any]]:
    offset: int | None = 0
    while offset is not None:
        query = f"/users?state=active&sort=id&limit={PAGE}&offset={offset}"
        answer = _send(hub, "GET", query)
        if answer.is_error:
            raise Unavailable(f"The Hub would not list servers: it answered {answer.status_code}.")
        page = answer.json()
        yield from page["items"]
        following = page["_pagination"]["next"]
        offset = following["offset"] if following else None


def _servers(user: dict[str, Any]) -> Iterator[Server]:
    for name, model in (user.get("servers") or {}).items():
        if not model.get("stopped"):
            yield Server(
                user=user["name"],
                name=name,
                ready=bool(model.get("ready")),
                pending=model.get("pending"),
                started_at=_instant(model.get("started")),
                last_activity=_instant(model.get("last_activity")),
                groups=sorted(user.get("groups") or []),
                choice=model.get("user_options") or {},
            )


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _send(hub: httpx.Client, method: str, path: str) -> httpx.Response:
    try:
        return hub.request(method, path)
    except httpx.TransportError as error:
        raise Unavailable(
            "The Hub does not answer.", fix="Look at it with `perijove status`."
        ) from error

"""Where webhooks may go: a user's URL must not reach what only this machine can.

A name is looked up once, and the connection goes to the address that was checked, so that a name
that answers differently the second time leads nowhere else.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from perijove_hub.engine.allow import Allowed


class Refusal(Exception):
    """A URL that no message is sent to; ``str()`` says why."""


@dataclass(frozen=True)
class Destination:
    """A URL's host, port and the address that stands for it."""

    host: str
    port: int
    address: str


def split(url: str, *, allow: Sequence[str] = ()) -> tuple[str, int]:
    """Return a URL's host and port. Raises ``Refusal`` for one of a wrong form.

    Plain ``http`` is for addresses in ``allow`` only.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Refusal("it is not a URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Refusal("it does not begin with https:// and a host")
    if parts.username or parts.password:
        raise Refusal("it holds a name or password; put what is secret into its path or query")
    if parts.fragment or not url.isascii() or any(ord(sign) <= 32 for sign in url):
        raise Refusal("it holds a fragment, a blank or signs that are not ASCII")
    port = port or (443 if parts.scheme == "https" else 80)
    if parts.scheme == "http" and not _listed(parts.hostname, port, allow):
        raise Refusal("it is not https://, so that everybody on the way could read it")
    return parts.hostname, port


def resolve(url: str, *, allow: Sequence[str]) -> Destination:
    """Look a URL's host up. Raises ``Refusal`` unless its address is public or in ``allow``."""
    host, port = split(url, allow=allow)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        raise Refusal(f"the host {host} is not known") from None
    addresses = [str(entry[4][0]) for entry in found]
    for address in addresses:
        if _public(address) or _listed(address, port, allow):
            return Destination(host, port, address)
    raise Refusal(
        f"{host} is at a private address ({addresses[0]}); an administrator can list it in "
        "notifications.allow"
    )


def _public(address: str) -> bool:
    found = ipaddress.ip_address(address.partition("%")[0])
    inner = getattr(found, "ipv4_mapped", None) or getattr(found, "sixtofour", None)
    if inner is not None and not inner.is_global:
        return False
    # Reserved is all of ::/8: the old forms ::10.0.0.1, and 64:ff9b::/96, which stands for an IPv4
    # address behind a translator. Site-local ones count as global.
    odd = found.is_multicast or found.is_reserved or getattr(found, "is_site_local", False)
    return found.is_global and not odd


def _listed(address: str, port: int, allow: Sequence[str]) -> bool:
    try:
        found = ipaddress.IPv4Address(address)
    except ValueError:
        return False
    entries = map(Allowed.parse, allow)
    return any(found in entry.network and entry.port in (None, port) for entry in entries)

"""Send a message to a URL, signed as https://www.standardwebhooks.com/ says."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Sequence
from urllib.parse import urlsplit, urlunsplit

import httpx

from perijove_hub.jobs.notifications.addresses import Destination, resolve
from perijove_hub.jobs.notifications.exceptions import NotDelivered
from perijove_hub.jobs.notifications.message import Message

#: Seconds for each part of an exchange, and for all of it.
TIMEOUT, ALTOGETHER = 10.0, 20.0
_PREFIX = "whsec_"


def new_key() -> str:
    """Make a key to sign with, as receivers' libraries want it."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode("ascii")


def signature(key: str, *, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the header ``webhook-signature``: version 1, HMAC-SHA256."""
    secret = base64.b64decode(key.removeprefix(_PREFIX))
    signed = f"{message_id}.{timestamp}.".encode() + body
    digest = hmac.new(secret, signed, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode("ascii")


def send(url: str, key: str, message: Message, *, allow: Sequence[str]) -> None:
    """POST ``message``; redirects are not followed. Raises ``Refusal`` and ``NotDelivered``."""
    destination = resolve(url, allow=allow)
    body = json.dumps(message.payload(), sort_keys=True).encode()
    timestamp = int(time.time())
    headers = {
        "Host": urlsplit(url).netloc,
        "Content-Type": "application/json",
        "User-Agent": "Perijove",
        "webhook-id": message.id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(key, message_id=message.id, timestamp=timestamp, body=body),
    }
    client = httpx.Client(timeout=TIMEOUT, trust_env=False)
    # A receiver may send a byte now and then for ever.
    limit = threading.Timer(ALTOGETHER, client.close)
    # The worker's end waits for none.
    limit.daemon = True
    limit.start()
    try:
        with (
            client,
            # Only the status counts: an answer without end is not read.
            client.stream(
                "POST",
                _at(url, destination),
                content=body,
                headers=headers,
                extensions={"sni_hostname": destination.host},
            ) as answer,
        ):
            status = answer.status_code
    except (httpx.HTTPError, OSError, RuntimeError) as error:
        raise NotDelivered(f"{destination.host} does not answer ({type(error).__name__})") from None
    finally:
        limit.cancel()
    if not 200 <= status < 300:
        raise NotDelivered(f"{destination.host} answered {status}")


def _at(url: str, destination: Destination) -> str:
    """Return ``url`` with the address that was checked for its host."""
    parts = urlsplit(url)
    address = f"[{destination.address}]" if ":" in destination.address else destination.address
    return urlunsplit(parts._replace(netloc=f"{address}:{destination.port}"))

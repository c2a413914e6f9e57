"""Ask a kernel's process how it is, past whatever it is running."""

from __future__ import annotations

import json
import socket
from typing import Any

#: Seconds it has to answer.
TIMEOUT = 3.0


class NoAnswer(Exception):
    """Nothing listens there, or what does is not the kernel."""


def ask(address: str, port: int, secret: str, what: str) -> dict[str, Any]:
    """Send ``what`` (``status`` or ``interrupt``) and return the answer.

    Raises ``NoAnswer``.
    """
    request = "".join(
        json.dumps(line) + "\n" for line in ({"secret": secret, "channel": "setup"}, {"do": what})
    )
    try:
        with socket.create_connection((address, port), timeout=TIMEOUT) as link:
            link.sendall(request.encode())
            with link.makefile("rb") as file:
                line = file.readline(65_536)
    except OSError as error:
        raise NoAnswer(f"{address}:{port}: {error}") from None
    try:
        answer = json.loads(line)
    except ValueError:
        raise NoAnswer(f"{address}:{port} did not answer as a kernel does") from None
    if not isinstance(answer, dict) or answer.get("ok") is not True:
        raise NoAnswer(f"{address}:{port} refused")
    return answer

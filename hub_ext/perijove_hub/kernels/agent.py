"""Ask a kernel's process how it is, past whatever it is running."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

#: Seconds it has to answer, and most bytes of the answer: a user's code may stand behind it.
TIMEOUT, LINE = 3.0, 65_536


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
            line = _line(link, time.monotonic() + TIMEOUT)
    except OSError as error:
        raise NoAnswer(f"{address}:{port}: {error}") from None
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError):
        raise NoAnswer(f"{address}:{port} did not answer as a kernel does") from None
    if not isinstance(answer, dict) or answer.get("ok") is not True:
        raise NoAnswer(f"{address}:{port} refused")
    return answer


def _line(link: socket.socket, deadline: float) -> bytes:
    """Read a line, in however many pieces it comes. Raises ``OSError`` at the deadline."""
    line = b""
    while not line.endswith(b"\n") and len(line) < LINE:
        link.settimeout(max(deadline - time.monotonic(), 0.001))
        piece = link.recv(LINE)
        if not piece:
            break
        line += piece
    return line

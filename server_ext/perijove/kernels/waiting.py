"""What this server's users should see of their remote kernels: those that are waited for.

The notebook itself shows nothing until its kernel runs: the server answers only then.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perijove.kernels.remote import Remote

#: Seconds that are worth no word.
PATIENCE = 3.0


@dataclass(frozen=True)
class _Wait:
    remote: Remote
    notebook: str
    since: float


_waits: dict[int, _Wait] = {}


@contextlib.contextmanager
def waiting(remote: Remote, notebook: str) -> Iterator[None]:
    """Show that ``remote`` is waited for, for the notebook of this path, which may be empty."""
    wait = _Wait(remote, notebook, time.monotonic())
    _waits[id(wait)] = wait
    try:
        yield
    finally:
        del _waits[id(wait)]


def seen() -> list[dict[str, Any]]:
    """Return the kernels that have been waited for a while, with what each waits for."""
    late = time.monotonic() - PATIENCE
    return [
        {
            "id": kernel.id,
            "notebook": wait.notebook,
            "size": kernel.size,
            "reason": kernel.reason,
        }
        for wait in list(_waits.values())
        if wait.since < late and (kernel := wait.remote.kernel) is not None and not kernel.stopped
    ]

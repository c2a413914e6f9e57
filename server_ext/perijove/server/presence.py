"""When a person last did something here; what an open tab asks by itself is not that.

JupyterLab polls kernels, terminals, files and its own layout every few seconds, and Jupyter
Server counts each of these requests as activity: by its count no workspace with an open tab
is ever idle.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

#: Requests that change nothing.
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
#: What JupyterLab writes by itself: the layout of its windows.
_BY_ITSELF = ("lab/api/workspaces", "lab/api/settings", "notebooks/api")
#: Pages that a person opens.
_PAGES = ("lab", "tree", "notebooks", "edit", "terminals", "consoles", "doc")


class Presence:
    """Notes the last request that a person is behind; ``last`` is aware."""

    def __init__(self, base_url: str) -> None:
        self._base = base_url
        self.last = datetime.now(UTC)

    def watch(self, settings: dict[str, Any]) -> None:
        """See every request of the server that ``settings`` belong to, once it is answered."""
        before: Callable[..., None] | None = settings.get("log_function")

        def log(handler: Any, *arguments: Any, **more: Any) -> None:
            if handler.get_status() < 400 and self._is_a_persons(
                handler.request.method, handler.request.path
            ):
                self.last = datetime.now(UTC)
            if before is not None:
                before(handler, *arguments, **more)

        settings["log_function"] = log

    def _is_a_persons(self, method: str, path: str) -> bool:
        path = path.removeprefix(self._base).strip("/")
        if method in _SAFE:
            first, _, rest = path.partition("/")
            return first in _PAGES and rest.partition("/")[0] in ("", "tree", "workspaces")
        return not path.startswith(_BY_ITSELF)

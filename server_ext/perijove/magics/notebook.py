"""Which notebook a magic stands in, and what was saved of it."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx

from perijove.exceptions import NotebookError

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

#: Seconds the server may take to answer.
TIMEOUT = 10

UNKNOWN = "Perijove cannot tell which notebook this is. Say it: {named}"
UNSAVED = (
    "The notebook has changes that are not saved, and {magic} takes only what is saved. "
    "Save it (Ctrl+S) and run {magic} again."
)


@dataclass(frozen=True)
class Saved:
    """A notebook as it was last saved, and its path as the server or the disk knows it."""

    content: dict[str, Any]
    path: str


def standing_in(shell: InteractiveShell, *, magic: str, named: str) -> Saved:
    """Return the notebook the kernel belongs to, as it was saved.

    The server is asked first: it knows of a rename since the kernel started, which the
    environment does not. ``magic`` is who asks, and ``named`` how it is told of a notebook.
    Raises ``NotebookError`` with the fix, also for unsaved changes as far as a kernel can see
    them.
    """
    found = _from_server(shell) or _from_disk()
    if found is None:
        raise NotebookError(UNKNOWN.format(named=named))
    _check_saved(shell, found, magic)
    return found


def _from_disk() -> Saved | None:
    path = Path(os.environ.get("JPY_SESSION_NAME", ""))
    try:
        return Saved(json.loads(path.read_text(encoding="utf-8")), str(path))
    except (OSError, ValueError):
        return None


def _from_server(shell: InteractiveShell) -> Saved | None:
    """Ask the Jupyter server that started this kernel; ``None`` where there is none."""
    url = os.environ.get("JUPYTERHUB_SERVICE_URL")
    token = os.environ.get("JUPYTERHUB_API_TOKEN")
    kernel = _kernel_id(shell)
    if not url or not token or not kernel:
        return None
    headers = {"Authorization": f"token {token}"}
    try:
        with httpx.Client(headers=headers, timeout=TIMEOUT, trust_env=False) as client:
            api = f"{url.rstrip('/')}/api"
            sessions = client.get(f"{api}/sessions").raise_for_status().json()
            path = _session_path(sessions, kernel)
            if path is None:
                return None
            answer = client.get(f"{api}/contents/{quote(path)}", params={"type": "notebook"})
            return Saved(answer.raise_for_status().json()["content"], path)
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return None


def _session_path(sessions: Any, kernel: str) -> str | None:
    for session in sessions:
        if (session.get("kernel") or {}).get("id") == kernel and session.get("path"):
            return str(session["path"])
    return None


def _check_saved(shell: InteractiveShell, found: Saved, magic: str) -> None:
    """Refuse when the cell that runs now is not in the saved notebook."""
    history = shell.history_manager
    running = history.input_hist_raw[-1].strip() if history is not None else ""
    cells = found.content.get("cells") or []
    saved = {"".join(cell.get("source", "")).strip() for cell in cells}
    if running and running not in saved:
        raise NotebookError(UNSAVED.format(magic=magic))


def _kernel_id(shell: InteractiveShell) -> str | None:
    """Return the kernel's id, which Jupyter puts into its connection file's name."""
    kernel = getattr(shell, "kernel", None)
    config = getattr(kernel, "config", {}).get("IPKernelApp", {})
    name = Path(str(config.get("connection_file", ""))).name
    found = re.fullmatch(r"kernel-(.+)\.json", name)
    return found[1] if found else None

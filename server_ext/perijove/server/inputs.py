"""Find and read the files that a notebook is promoted with: a browser sees no disk."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web

from perijove.exceptions import NotebookError
from perijove.types.base import Problem

#: Most bytes of a request, which holds no more than names.
MOST = 2**21
#: Most bytes of a notebook that is looked through.
MOST_NOTEBOOK = 256 * 2**20


class InputsHandler(APIHandler):  # type: ignore[misc]
    """``POST /perijove/inputs``: which files a notebook probably reads, or their content.

    ``{"path": P}`` is answered with ``{"candidates": [{"path", "bytes", "why", "problem"}, …]}``,
    and ``{"path": P, "chosen": [paths]}`` with ``{"inputs": [{"path", "content"}, …]}``, the
    content in Base64 as ``JobCreate.inputs`` has it. ``P`` is the notebook's path as the file
    browser has it, the others are relative to its folder. A mistake is a problem document.
    """

    auth_resource = "perijove"

    @web.authenticated
    @authorized  # type: ignore[untyped-decorator]
    async def post(self) -> None:
        """Look at the disk."""
        root = Path(self.contents_manager.root_dir)
        try:
            path, chosen = _asked(self.request.body)
            # Off the event loop: kernels and the browser go on meanwhile.
            answer = await asyncio.to_thread(_answer, root, path, chosen)
        except NotebookError as error:
            problem = Problem(
                title="Invalid request",
                status=422,
                detail=str(error),
                field="path" if getattr(error, "path", None) is None else "inputs",
            )
            self.set_status(422)
            self.finish(
                problem.model_dump_json(exclude_none=True),
                set_content_type="application/problem+json",
            )
            return
        self.finish(answer)


def _asked(body: bytes) -> tuple[str, list[str] | None]:
    if len(body) > MOST:
        raise NotebookError("The request names too many files.")
    try:
        asked = json.loads(body)
        path, chosen = asked["path"], asked.get("chosen")
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        raise NotebookError('The request is not {"path": …} in JSON.') from None
    is_list = isinstance(chosen, list) and all(isinstance(name, str) for name in chosen)
    if not isinstance(path, str) or not (chosen is None or is_list):
        raise NotebookError("'path' is text, and 'chosen' a list of texts.")
    return path, chosen


def _answer(root: Path, path: str, chosen: list[str] | None) -> dict[str, Any]:
    # Not at the start of the server, which somebody waits for.
    from perijove import manifest

    # Collaboration names notebooks 'RTC:work/a.ipynb'.
    relative = path.removeprefix("RTC:").strip("/")
    try:
        place = (root / relative).resolve(strict=True)
        if not place.is_relative_to(root.resolve()) or not place.is_file():
            raise FileNotFoundError
        if chosen is not None:
            files = manifest.read(place.parent, chosen)
            return {"inputs": [file.model_dump() for file in files]}
        if place.stat().st_size > MOST_NOTEBOOK:
            raise NotebookError(f"'{relative}' is too large to be looked through.")
        notebook = json.loads(place.read_bytes())
    except (OSError, RuntimeError):  # RuntimeError: a link to itself
        raise NotebookError(f"There is no notebook '{relative}' here. Save it first.") from None
    except (ValueError, RecursionError):
        raise NotebookError(f"'{relative}' is not a notebook.") from None
    found = manifest.propose(notebook if isinstance(notebook, dict) else {}, place.parent)
    return {"candidates": [asdict(one) for one in found]}

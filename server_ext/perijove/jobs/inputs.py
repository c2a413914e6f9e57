"""The files that a version keeps with its notebook."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from perijove import manifest
from perijove.jobs.finding import JobError
from perijove.options import Option
from perijove.types.jobs import InputFile

AUTO, NO = "auto", "none"


def _auto(given: str) -> str:
    if given not in (AUTO, NO):
        raise ValueError(f"{AUTO} or {NO}")
    return given


INPUTS = [
    Option("inputs", "Files the notebook reads are kept with it: auto, none.", _auto, "auto|none"),
    Option("input", "A file, folder or 'pattern' to keep with it.", metavar="FILE", many=True),
]


def gather(
    notebook: dict[str, Any], folder: Path | None, *, inputs: str, files: Sequence[str]
) -> list[InputFile]:
    """Read the files that are kept with a notebook in ``folder``.

    With ``inputs="auto"`` those it probably reads, found without running it; ``files`` come on
    top: paths from where this runs, folders, or patterns. Raises ``JobError`` for one that is
    not there, and ``NotebookError`` for one outside of ``folder`` or too large.
    """
    INPUTS[0].read(inputs)
    if folder is None:
        if files:
            raise JobError("Files go with a notebook that has a folder: give its path.")
        return []
    found = manifest.propose(notebook, folder) if inputs == AUTO else []
    paths = {one.path for one in found if not one.problem}
    for one in files:
        paths.update(os.path.relpath(path, folder.absolute()) for path in _matching(one))
    return manifest.read(folder, sorted(paths))


def _matching(wanted: str) -> list[Path]:
    path = Path(wanted).absolute()
    if path.is_dir():
        found = _below(path)
    elif path.exists():
        found = [path]
    else:
        at = Path(path.anchor)
        found = [one for one in at.glob(str(path.relative_to(at))) if one.is_file()]
    if not found:
        raise JobError(f"--input {wanted} is no file, folder or pattern of files here.")
    return found


def _below(folder: Path) -> list[Path]:
    """Return the files in a folder and its folders, but for hidden ones and caches."""
    found: list[Path] = []
    for place, folders, files in os.walk(folder):
        folders[:] = [one for one in folders if not one.startswith((".", "__"))]
        found += [Path(place, one) for one in files if not one.startswith(".")]
    return found

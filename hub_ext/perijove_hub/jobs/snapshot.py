"""What promotion keeps of a notebook: the same bytes for the same notebook."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import nbformat

from perijove.exceptions import NotebookError
from perijove.runner.parameters import inspect
from perijove.types.jobs import Inspection
from perijove_hub.exceptions import Invalid

#: Most bytes of a notebook without its outputs; pictures pasted into text cells count.
MAX_BYTES = 20_000_000

#: Most cells: telling what is wrong with one of very many takes minutes.
MAX_CELLS = 20_000

#: Metadata that running or looking at a notebook changes.
_FLEETING = ("execution", "ExecuteTime", "papermill", "collapsed", "scrolled", "trusted")
_FLEETING_NOTEBOOK = ("widgets", "papermill", "signature")


@dataclass(frozen=True)
class Snapshot:
    """A notebook as a version keeps it, and its parameters."""

    content: bytes
    inspection: Inspection


def take(notebook: dict[str, Any]) -> Snapshot:
    """Strip, check and serialise a notebook.

    Raises ``Invalid`` for what is no notebook, one too large, or a wrong parameters cell.
    """
    inspection = read_parameters(notebook)
    if len(notebook["cells"]) > MAX_CELLS:
        raise _invalid(
            f"The notebook has {len(notebook['cells']):,} cells; at most {MAX_CELLS:,} are kept.",
            fix="Move code into modules beside the notebook.",
        )
    stripped = _stripped(notebook)
    validate(stripped)
    try:
        content = json.dumps(stripped, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        raise _invalid("The notebook holds characters that are no text.") from None
    except ValueError:
        # Python writes NaN into JSON, and no browser reads it.
        raise _invalid("The notebook's metadata holds a number that is not finite.") from None
    if len(content) > MAX_BYTES:
        raise _invalid(
            f"The notebook has {len(content) / 1e6:.0f} MB without outputs; "
            f"at most {MAX_BYTES // 10**6} are kept.",
            fix="Move pasted pictures and data into files.",
        )
    return Snapshot(content, inspection)


def read_parameters(notebook: dict[str, Any]) -> Inspection:
    """Inspect a notebook; raises ``Invalid``."""
    try:
        return inspect(notebook)
    except NotebookError as error:
        raise _invalid(str(error)) from None


def _stripped(notebook: dict[str, Any]) -> dict[str, Any]:
    metadata = _settled(notebook.get("metadata"))
    cells = [_stripped_cell(cell) for cell in notebook["cells"]]
    minor = notebook.get("nbformat_minor")
    if isinstance(minor, int) and minor >= 5:
        _identify(cells)
    return {**notebook, "metadata": _without(metadata, _FLEETING_NOTEBOOK), "cells": cells}


def _settled(metadata: Any) -> Any:
    """Leave of the kernel only what runs need: each start of one writes its words and version."""
    spec = metadata.get("kernelspec") if isinstance(metadata, dict) else None
    if not isinstance(spec, dict) or not isinstance(spec.get("name"), str):
        return metadata
    info = metadata.get("language_info")
    language = spec.get("language") or (info.get("name") if isinstance(info, dict) else None)
    kept = {"name": spec["name"], "display_name": spec["name"]}
    if isinstance(language, str) and language.lower() not in ("", "python"):
        kept["language"] = language
    return {**_without(metadata, ("language_info",)), "kernelspec": kept}


def _stripped_cell(cell: dict[str, Any]) -> dict[str, Any]:
    source = cell.get("source", "")
    # On disk a list of lines, from the browser one text: the same notebook all the same.
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    kept = {**cell, "source": source, "metadata": _without(cell.get("metadata"), _FLEETING)}
    if cell.get("cell_type") == "code":
        kept |= {"outputs": [], "execution_count": None}
    return kept


def _without(metadata: Any, names: tuple[str, ...]) -> Any:
    if not isinstance(metadata, dict):
        return {} if metadata is None else metadata
    return {name: value for name, value in metadata.items() if name not in names}


def _identify(cells: list[dict[str, Any]]) -> None:
    """Give cells without an id of their own one that is the same next time."""
    seen: set[Any] = set()
    for number, cell in enumerate(cells):
        found = cell.get("id")
        if not isinstance(found, str) or found in seen:
            cell["id"] = f"cell-{number}"
        seen.add(cell["id"])


def validate(notebook: dict[str, Any]) -> None:
    """Check that it is a notebook; raises ``Invalid``."""
    try:
        nbformat.validate(notebook)
    except Exception as error:
        # nbformat raises whatever its validator meets: ValidationError, KeyError, TypeError.
        said = str(getattr(error, "message", "") or error).splitlines()
        what = said[0][:200] if said else type(error).__name__
        raise _invalid(
            f"This is not a valid notebook: {what}.", fix="Open and save it in JupyterLab."
        ) from None


def _invalid(message: str, *, fix: str | None = None) -> Invalid:
    return Invalid(message, field="notebook", fix=fix)

"""Compare the cells of two notebooks: ``python -m perijove_hub.jobs.cell_diff``.

A program of its own, because both notebooks are what others wrote, and comparing text can take
time without end: whoever starts it ends it. It reads a line with the length of the first notebook
and whether outputs count (1 or 0), then both, and writes what ``compare`` returns as JSON.
"""

from __future__ import annotations

import difflib
import json
import re
import resource
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from perijove.types.comparison import CellDifference
from perijove_hub.launch import plain

#: Most memory of the process, bytes.
MEMORY = 4 * 2**30
#: Most cells of a notebook, and differences, that are looked at.
MOST_CELLS, MOST_DIFFERENCES = 1000, 300
#: Most characters of a cell's source, and of what an output shows.
MOST_SOURCE, MOST_SHOWN = 20_000, 2000
#: Most lines of one cell's difference.
MOST_LINES = 200

#: Papermill's cell with the parameters, which are compared as values.
INJECTED = "injected-parameters"
#: New at every run, whatever the code.
_IDENTITIES = ("application/vnd.jupyter.widget-view+json",)
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_POINTER = re.compile(r"0x[0-9a-fA-F]{6,16}")

Cell = dict[str, Any]


def compare(one: Any, other: Any, *, outputs: bool) -> tuple[list[CellDifference], int, list[str]]:
    """Return the cells that differ, how many do not, and what was left out."""
    left_out: list[str] = []
    first = _cells(one, "first", outputs, left_out)
    second = _cells(other, "second", outputs, left_out)
    different: list[CellDifference] = []
    same = more = 0
    for a, b in _aligned([cell for _, cell in first], [cell for _, cell in second]):
        found = _difference(
            first[a] if a is not None else None, second[b] if b is not None else None
        )
        if found is None:
            same += 1
        elif len(different) < MOST_DIFFERENCES:
            different.append(found)
        else:
            more += 1
    if more:
        left_out.append(f"{more} further cells that differ.")
    return different, same, left_out


def _cells(
    notebook: Any, which: str, with_outputs: bool, left_out: list[str]
) -> list[tuple[int, Cell]]:
    """Return a notebook's cells with their indices, without papermill's own."""
    found: list[tuple[int, Cell]] = []
    cut = 0
    for index, cell in enumerate(notebook["cells"]):
        if len(found) >= MOST_CELLS:
            left_out.append(f"Cells of the {which} notebook after the first {MOST_CELLS}.")
            break
        if INJECTED in _tags(cell):
            continue
        source = _text(cell.get("source", ""))
        cut += len(source) > MOST_SOURCE
        outputs = cell.get("outputs") if with_outputs else None
        kept = {
            "cell_type": str(cell.get("cell_type")),
            "source": source[:MOST_SOURCE],
            "outputs": outputs if isinstance(outputs, list) else [],
        }
        if isinstance(cell.get("id"), str):
            kept["id"] = cell["id"]
        found.append((index, kept))
    if cut:
        left_out.append(
            f"What {cut} cells of the {which} notebook hold after {MOST_SOURCE} characters."
        )
    return found


def _tags(cell: Cell) -> Sequence[Any]:
    tags = cell.get("metadata", {}).get("tags", [])
    return tags if isinstance(tags, list) else []


def _aligned(
    first: Sequence[Cell], second: Sequence[Cell]
) -> Iterator[tuple[int | None, int | None]]:
    """Yield which cell belongs to which, as nbdime finds it by ids, then by sources."""
    # A grammar of URLs that takes longer to load than all the rest, and that jsonschema does
    # without when it is not to be had.
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    from nbdime.diffing import diff_notebooks

    def bare(cells: Sequence[Cell]) -> dict[str, Any]:
        # Outputs do not decide which cells belong together, and cost the most to compare.
        return {"cells": [cell | {"outputs": []} for cell in cells]}

    a = b = 0
    operations: Sequence[Any] = next(
        (one.diff for one in diff_notebooks(bare(first), bare(second)) if one.key == "cells"), []
    )
    for operation in operations:
        while a < operation.key:
            yield a, b
            a, b = a + 1, b + 1
        if operation.op == "addrange":
            for _ in operation.valuelist:
                yield None, b
                b += 1
        elif operation.op == "removerange":
            for _ in range(operation.length):
                yield a, None
                a += 1
        else:
            yield a, b
            a, b = a + 1, b + 1
    while a < len(first):
        yield a, b
        a, b = a + 1, b + 1


def _difference(
    one: tuple[int, Cell] | None, other: tuple[int, Cell] | None
) -> CellDifference | None:
    empty: Cell = {"source": "", "outputs": [], "cell_type": ""}
    (at, a), (to, b) = one or (None, empty), other or (None, empty)
    shown_a, shown_b = _shown(a["outputs"]), _shown(b["outputs"])
    outputs_differ = shown_a != shown_b
    if a["source"] == b["source"] and a["cell_type"] == b["cell_type"] and not outputs_differ:
        return None
    lines = (line.strip() for line in (b["source"] or a["source"]).splitlines())
    return CellDifference(
        one=at,
        other=to,
        type=b["cell_type"] or a["cell_type"],
        line=plain.text(next(filter(None, lines), ""), 120),
        diff=_lines(a["source"], b["source"]),
        outputs_differ=outputs_differ,
        output_one=_short(a["outputs"]) if outputs_differ else "",
        output_other=_short(b["outputs"]) if outputs_differ else "",
    )


def _lines(one: str, other: str) -> list[str]:
    if one == other:
        return []
    found = difflib.unified_diff(one.splitlines(), other.splitlines(), lineterm="", n=3)
    # The first two name files, of which there are none.
    lines = [plain.text(line, 500) for line in found][2:]
    gaps = ["@@" if line.startswith("@@") else line for line in lines]
    if len(gaps) > MOST_LINES:
        gaps = [*gaps[:MOST_LINES], "@@"]
    return gaps[1:] if gaps[:1] == ["@@"] else gaps


def _shown(outputs: Sequence[Any]) -> list[Any]:
    """Return what outputs show in a form that is equal when they show the same.

    Text may arrive in other pieces, objects may lie elsewhere, and cells count on.
    """
    shown: list[Any] = []
    for output in outputs:
        match output.get("output_type"):
            case "stream":
                name, text = output.get("name"), _pointless(_text(output.get("text", "")))
                if shown and shown[-1][0] == "stream" and shown[-1][1] == name:
                    shown[-1] = ("stream", name, shown[-1][2] + text)
                else:
                    shown.append(("stream", name, text))
            case "error":
                shown.append(("error", output.get("ename"), output.get("evalue")))
            case kind:
                data = {
                    name: _pointless(_text(value)) if _is_text(value) else value
                    for name, value in (output.get("data") or {}).items()
                    if name not in _IDENTITIES
                }
                shown.append((kind, data))
    return shown


def _short(outputs: Sequence[Any]) -> str:
    """Tell in short text what outputs show."""
    parts = []
    for output in outputs:
        match output.get("output_type"):
            case "stream":
                parts.append(_text(output.get("text", ""))[: MOST_SHOWN * 2])
            case "error":
                parts.append(f"{output.get('ename')}: {output.get('evalue')}\n"[: MOST_SHOWN * 2])
            case _:
                data = output.get("data") or {}
                if "text/plain" in data:
                    parts.append(_text(data["text/plain"])[: MOST_SHOWN * 2] + "\n")
                others = [name for name in data if name != "text/plain"]
                if others:
                    parts.append(f"[{', '.join(others)[:200]}]\n")
        if sum(map(len, parts)) > MOST_SHOWN * 2:
            break
    text = plain.text(_ANSI.sub("", "".join(parts)), MOST_SHOWN + 1).rstrip("\n")
    return text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + "…"


def _pointless(text: str) -> str:
    return _POINTER.sub("0x", text)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list) and all(isinstance(part, str) for part in value)
    )


def _text(value: Any) -> str:
    """Join text that nbformat keeps as one string or as lines."""
    return value if isinstance(value, str) else "".join(map(str, value))


def main() -> None:
    """Compare what comes in by standard input."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    source = sys.stdin.buffer
    length, outputs = map(int, source.readline().split())
    one, other = json.loads(source.read(length)), json.loads(source.read())
    cells, same, left_out = compare(one, other, outputs=bool(outputs))
    json.dump(
        {"cells": [cell.model_dump() for cell in cells], "same": same, "left_out": left_out},
        sys.stdout,
    )


if __name__ == "__main__":
    main()

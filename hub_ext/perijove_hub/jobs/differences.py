"""How two versions of a notebook differ, cell by cell."""

from __future__ import annotations

import bisect
import difflib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from perijove.types.versions import CellChange, Change

#: Most lines of one cell that are compared line by line: that takes time as their square.
_MOST_COMPARED = 2_000
#: Most lines of an answer, and most characters of one.
MOST_LINES = 5_000
_LONGEST = 1_000

Cell = dict[str, Any]


def cells(before: Sequence[Cell], after: Sequence[Cell]) -> tuple[list[CellChange], bool]:
    """Return the cells that differ, and whether lines were left out.

    Cells are told by their ids where notebooks have them, else by what stands in them.
    """
    pairs = _pairs(before, after)
    changes = [change for change in _changes(before, after, pairs) if change is not None]
    return changes, _cut(changes)


def _pairs(before: Sequence[Cell], after: Sequence[Cell]) -> dict[int, int]:
    """Map indices of later cells to those of the earlier cells that they were."""
    places = {cell["id"]: at for at, cell in enumerate(before) if "id" in cell}
    found: dict[int, int] = {}
    for at, cell in enumerate(after):
        was = places.get(cell.get("id"))
        if was is not None and before[was]["cell_type"] == cell["cell_type"]:
            found[at] = was
    # What has no id in common may still be the same: the notebook was written anew.
    taken = set(found.values())
    left_before = [at for at in range(len(before)) if at not in taken]
    left_after = [at for at in range(len(after)) if at not in found]
    aligned = _aligned(before, after, left_before, left_after)
    found |= {other: one for one, other in aligned}
    return found


def _aligned(
    before: Sequence[Cell], after: Sequence[Cell], ours: Sequence[int], theirs: Sequence[int]
) -> Iterator[tuple[int, int]]:
    """Pair equal cells in order, and where cells without ids replace as many others, those too."""
    texts = [_text(before[at]) for at in ours], [_text(after[at]) for at in theirs]
    matcher = difflib.SequenceMatcher(None, *texts)
    for kind, a, a_end, b, b_end in matcher.get_opcodes():
        if kind not in ("equal", "replace") or a_end - a != b_end - b:
            continue
        for one, other in zip(ours[a:a_end], theirs[b:b_end], strict=True):
            is_known = "id" in before[one] and "id" in after[other]
            is_type_same = before[one]["cell_type"] == after[other]["cell_type"]
            if is_type_same and (kind == "equal" or not is_known):
                yield one, other


def _text(cell: Cell) -> tuple[str, str]:
    return cell["cell_type"], cell["source"]


def _changes(
    before: Sequence[Cell], after: Sequence[Cell], pairs: dict[int, int]
) -> Iterator[CellChange | None]:
    kept = set(pairs.values())
    unmoved = _unmoved([pairs[at] for at in sorted(pairs)])
    following = 0
    for at, cell in enumerate(after):
        was = pairs.get(at)
        if was is not None and was in unmoved:
            # What was removed before it is told before it.
            yield from (_gone(before, one) for one in range(following, was) if one not in kept)
            following = was + 1
        if was is None:
            yield CellChange(
                change=Change.added,
                cell_type=cell["cell_type"],
                after=at,
                lines=[f"+{line}" for line in cell["source"].splitlines()],
            )
        else:
            yield _changed(before[was], cell, was, at, moved=was not in unmoved)
    yield from (_gone(before, one) for one in range(following, len(before)) if one not in kept)


def _unmoved(order: Sequence[int]) -> set[int]:
    """Return the longest run of cells that stand in the same order in both."""
    # Patience sorting: tails[n] ends the best sequence of n + 1 so far.
    tails: list[int] = []
    ends: list[int] = []
    back: list[int | None] = []
    for place, value in enumerate(order):
        length = bisect.bisect_left(tails, value)
        tails[length : length + 1] = [value]
        ends[length : length + 1] = [place]
        back.append(ends[length - 1] if length else None)
    found = set()
    at = ends[-1] if ends else None
    while at is not None:
        found.add(order[at])
        at = back[at]
    return found


def _gone(before: Sequence[Cell], at: int) -> CellChange:
    return CellChange(
        change=Change.removed,
        cell_type=before[at]["cell_type"],
        before=at,
        lines=[f"-{line}" for line in before[at]["source"].splitlines()],
    )


def _changed(one: Cell, other: Cell, was: int, at: int, *, moved: bool) -> CellChange | None:
    is_text_same = one["source"] == other["source"]
    metadata = _json(one.get("metadata")) != _json(other.get("metadata"))
    if is_text_same and not metadata and not moved:
        return None
    return CellChange(
        change=Change.moved if moved and is_text_same and not metadata else Change.changed,
        cell_type=other["cell_type"],
        before=was,
        after=at,
        lines=[] if is_text_same else _lines(one["source"], other["source"]),
        metadata=metadata,
    )


def _lines(one: str, other: str) -> list[str]:
    old, new = one.splitlines(), other.splitlines()
    if max(len(old), len(new)) > _MOST_COMPARED:
        return [*(f"-{line}" for line in old), *(f"+{line}" for line in new)]
    found = list(difflib.unified_diff(old, new, lineterm="", n=3))
    # Without the names of files, of which there are none.
    return found[2:]


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _cut(changes: Sequence[CellChange]) -> bool:
    """Shorten what is too long for an answer, in place; tell whether anything was."""
    left, is_cut = MOST_LINES, False
    for change in changes:
        kept = [line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…" for line in change.lines]
        is_cut = is_cut or len(kept) > left or kept != change.lines
        change.lines = kept[:left]
        left -= len(change.lines)
    return is_cut

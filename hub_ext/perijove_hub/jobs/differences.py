"""How two versions of a notebook differ, cell by cell."""

from __future__ import annotations

import bisect
import difflib
import json
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from perijove.types.versions import CellChange, Change

#: Most lines of one cell that are compared line by line, and of all: the time that takes may
#: grow as their cube.
_MOST_COMPARED, _MOST_COMPARED_IN_ALL = 500, 10_000
#: Most lines of an answer, and most characters of one.
MOST_LINES = 5_000
_LONGEST = 1_000

Cell = dict[str, Any]


def cells(before: Sequence[Cell], after: Sequence[Cell]) -> tuple[list[CellChange], bool]:
    """Return the cells that differ, and whether lines were left out.

    Cells are told by their ids where notebooks have them, else by what stands in them. The time
    this takes grows as the notebooks do, whatever is in them.
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
    waiting: dict[tuple[str, str], deque[int]] = defaultdict(deque)
    for was, cell in enumerate(before):
        if was not in taken:
            waiting[_text(cell)].append(was)
    for at, cell in enumerate(after):
        if at not in found and waiting[_text(cell)]:
            found[at] = waiting[_text(cell)].popleft()
    return found | _replaced(before, after, found)


def _replaced(
    before: Sequence[Cell], after: Sequence[Cell], pairs: Mapping[int, int]
) -> dict[int, int]:
    """Pair cells without ids where as many stand between two known ones as stood there before."""
    taken = set(pairs.values())
    unmoved = _unmoved([pairs[at] for at in sorted(pairs)])
    known = [(pairs[at], at) for at in sorted(pairs) if pairs[at] in unmoved]
    found = {}
    was_end = at_end = 0
    for was_next, at_next in [*known, (len(before), len(after))]:
        old = [was for was in range(was_end, was_next) if was not in taken]
        new = [at for at in range(at_end, at_next) if at not in pairs]
        if len(old) == len(new):
            for was, at in zip(old, new, strict=True):
                has_ids = "id" in before[was] and "id" in after[at]
                if not has_ids and before[was]["cell_type"] == after[at]["cell_type"]:
                    found[at] = was
        was_end, at_end = was_next + 1, at_next + 1
    return found


def _text(cell: Cell) -> tuple[str, str]:
    return cell["cell_type"], cell["source"]


def _changes(
    before: Sequence[Cell], after: Sequence[Cell], pairs: dict[int, int]
) -> Iterator[CellChange | None]:
    kept = set(pairs.values())
    unmoved = _unmoved([pairs[at] for at in sorted(pairs)])
    following = compared = 0
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
            old, new = before[was]["source"].splitlines(), cell["source"].splitlines()
            more = len(old) + len(new) if old != new else 0
            is_small = more <= _MOST_COMPARED and compared + more <= _MOST_COMPARED_IN_ALL
            compared += more if is_small else 0
            lines = _lines(old, new) if is_small else _all(old, new)
            yield _changed(before[was], cell, (was, at), lines, moved=was not in unmoved)
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


def _changed(
    one: Cell, other: Cell, places: tuple[int, int], lines: list[str], *, moved: bool
) -> CellChange | None:
    is_text_same = one["source"] == other["source"]
    metadata = _json(one.get("metadata")) != _json(other.get("metadata"))
    if is_text_same and not metadata and not moved:
        return None
    was, at = places
    return CellChange(
        change=Change.moved if moved and is_text_same and not metadata else Change.changed,
        cell_type=other["cell_type"],
        before=was,
        after=at,
        lines=lines,
        metadata=metadata,
    )


def _lines(old: Sequence[str], new: Sequence[str]) -> list[str]:
    found = list(difflib.unified_diff(old, new, lineterm="", n=3))
    # Without the names of files, of which there are none.
    return found[2:]


def _all(old: Sequence[str], new: Sequence[str]) -> list[str]:
    return [*(f"-{line}" for line in old), *(f"+{line}" for line in new)]


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

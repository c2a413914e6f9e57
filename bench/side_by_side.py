"""What the scripts share: rounds in turn, medians, one table."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Mapping, Sequence

#: A measurement's name → its value, in the unit the name says.
Figures = Mapping[str, float]


def take_turns(
    contenders: Mapping[str, Callable[[], Figures]], rounds: int
) -> dict[str, dict[str, list[float]]]:
    """Let every contender run ``rounds`` times, one after the other in each round."""
    found: dict[str, dict[str, list[float]]] = {name: {} for name in contenders}
    for number in range(1, rounds + 1):
        for name, measure in contenders.items():
            print(f"round {number} of {rounds}: {name}", file=sys.stderr, flush=True)
            for figure, value in measure().items():
                found[name].setdefault(figure, []).append(value)
    return found


def table(
    found: Mapping[str, Mapping[str, Sequence[float]]], *, peer: str, ours: str, digits: int = 2
) -> str:
    """Write medians, ranges and ours divided by the peer's as a Markdown table."""
    lines = [f"| | {peer} | {ours} | ratio |", "|---|---:|---:|---:|"]
    figures = list(dict.fromkeys(figure for values in found.values() for figure in values))
    for figure in figures:
        theirs, own = found[peer].get(figure), found[ours].get(figure)
        ratio = (
            f"{statistics.median(own) / statistics.median(theirs):.2f}" if theirs and own else "-"
        )
        lines.append(f"| {figure} | {_cell(theirs, digits)} | {_cell(own, digits)} | {ratio} |")
    return "\n".join(lines)


def _cell(values: Sequence[float] | None, digits: int) -> str:
    if not values:
        return "-"
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"

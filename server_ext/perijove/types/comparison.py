"""The difference of two runs."""

from __future__ import annotations

from typing import Any

from perijove.types.base import Wire
from perijove.types.jobs import Run


class ValueDifference(Wire):
    """A named value of two runs; a side that has none is null."""

    name: str
    one: Any = None
    other: Any = None
    same: bool


class NumberDifference(Wire):
    """A number of two runs."""

    name: str
    one: float | None = None
    other: float | None = None
    difference: float | None = None
    """``other - one``; null where one of them is missing."""


class CellDifference(Wire):
    """A cell that is not the same in both notebooks, or showed something else."""

    one: int | None = None
    """Index in the first run's notebook, from 0; null for a cell that was added."""
    other: int | None = None
    """The same in the second's; null for one that was removed."""
    type: str
    """``code``, ``markdown`` or ``raw``."""
    line: str = ""
    """Its first line."""
    diff: list[str] = []
    """Lines of its source that differ, with those around them: ``+``, ``-``, a space, or ``@@``
    before a gap. Empty when the source is the same."""
    outputs_differ: bool = False
    output_one: str = ""
    """What it showed, as short text."""
    output_other: str = ""


class Comparison(Wire):
    """What differs between two runs."""

    one: Run
    other: Run
    parameters: list[ValueDifference]
    environment: list[ValueDifference]
    """Version, image and its digest."""
    inputs: list[ValueDifference]
    """SHA-256 of the files that their versions keep, by path."""
    artifacts: list[ValueDifference]
    """SHA-256 of the files they left, by path."""
    metrics: list[NumberDifference]
    measures: list[NumberDifference]
    """``seconds`` and ``peak_memory_mb``."""
    cells: list[CellDifference]
    cells_same: int
    """How many cells are the same in both."""
    left_out: list[str] = []
    """What was not compared, and why."""

"""What a run is watched by besides its own record."""

from __future__ import annotations

from datetime import datetime

from perijove.types.base import Wire
from perijove.types.jobs import Cause, RunState


class RunFailure(Wire):
    """Where and why a run failed, for people: no control characters, nothing longer than a
    screen or two."""

    cause: Cause | None = None
    reason: str | None = None
    cell: int | None = None
    """Index in the output notebook, from 0; null when no cell is to blame."""
    line: int | None = None
    """Line of the cell that raised, from 1."""
    source: list[str] = []
    """Lines of the cell around that line, or its first."""
    first_line: int = 1
    """Number of the first of them."""
    error: str = ""
    """Exception and message."""
    traceback: str = ""
    peak_memory_mb: float | None = None
    left_out: list[str] = []
    """What is not shown, and why."""


class RunPoint(Wire):
    """A run in a chart of its job's."""

    id: str
    queued_at: datetime
    state: RunState
    version: int
    seconds: float | None = None
    """From start to end; null for a run that has not both."""
    metrics: dict[str, float] = {}

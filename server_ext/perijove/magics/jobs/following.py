"""Showing long work on its way; Ctrl-C ends the looking and not the work."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from perijove import jobs
from perijove.magics.display import Status
from perijove.magics.jobs.words import backfill_progress, run_progress, sweep_progress
from perijove.types.backfills import Backfill
from perijove.types.jobs import Run
from perijove.types.sweeps import Sweep

W = TypeVar("W", Run, Backfill, Sweep)


def run_followed(run: Run) -> Run:
    """Show a run's way to its end, and return it as it was last seen."""
    left = f"{run.job}: run {run.id} goes on; %job show {run.job}"
    return _followed(run, lambda look: jobs.wait(run.id, follow=look), run_progress, left)


def backfill_followed(backfill: Backfill) -> Backfill:
    """Show a backfill's way to its end, and return it as it was last seen."""
    known = backfill.id or ""
    left = f"{backfill.job}: backfill {known} goes on; %job show {backfill.job} --backfill {known}"
    return _followed(
        backfill, lambda look: jobs.wait_backfill(known, follow=look), backfill_progress, left
    )


def sweep_followed(sweep: Sweep) -> Sweep:
    """Show a sweep's way to its end, and return it as it was last seen."""
    left = f"{sweep.job}: sweep {sweep.id} goes on; %job show {sweep.job} --sweep {sweep.id}"
    return _followed(
        sweep, lambda look: jobs.wait_sweep(sweep.id, follow=look), sweep_progress, left
    )


def _followed(
    first: W, wait: Callable[[Callable[[W], None]], W], words: Callable[[W], str], left: str
) -> W:
    latest = first
    with Status() as status:

        def look(seen: W) -> None:
            nonlocal latest
            latest = seen
            status.show(words(seen), state=seen.state.value)

        try:
            wait(look)
        except KeyboardInterrupt:
            status.show(left, state=None)
    return latest

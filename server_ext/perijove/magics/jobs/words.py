"""How far a run, a backfill or a sweep has got, in one line."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from perijove.magics.jobs.tables import pairs, took, waits
from perijove.types.backfills import Backfill, SlotState
from perijove.types.jobs import Run, RunState
from perijove.types.sweeps import Sweep, TrialState

S = TypeVar("S", bound=StrEnum)


def run_progress(run: Run) -> str:
    """Say how far a run has got."""
    done = run.progress
    text = f"{run.job}: run {run.id}"
    if run.state is RunState.running and done.cells_total:
        text += f", cell {min(done.cells_done + 1, done.cells_total)}"
        text += f" of {done.cells_total}"
        text += f": {done.current_cell}" if done.current_cell else ""
    elif run.state.terminal:
        seconds = took(run)
        text += f", {seconds}" if seconds else ""
        text += f" - {run.reason}" if run.reason else ""
    elif later := waits(run):
        text += f", {later}"
    return text


def backfill_progress(backfill: Backfill) -> str:
    """Say how far a backfill has got."""
    going = (SlotState.waiting, SlotState.queued, SlotState.running)
    left = sum(backfill.counts.get(state, 0) for state in going)
    if backfill.id is None:
        return _with(
            f"{backfill.job}: a dry run, {backfill.total} in all",
            counted(backfill.counts),
            backfill.reason,
        )
    text = (
        f"{backfill.job}: backfill {backfill.id}, {backfill.total - left} of {backfill.total} done"
    )
    return _with(text, counted(backfill.counts), backfill.reason)


def sweep_progress(sweep: Sweep) -> str:
    """Say how far a sweep has got, and what is best so far."""
    going = (TrialState.queued, TrialState.running)
    done = sum(count for state, count in sweep.counts.items() if state not in going)
    text = f"{sweep.job}: sweep {sweep.id}, {done} of {sweep.trials} done"
    if sweep.best is not None and sweep.best.value is not None:
        text += f", best {sweep.metric} {sweep.best.value:.6g} with {pairs(sweep.best.parameters)}"
    return _with(text, counted(sweep.counts), sweep.reason)


def counted(counts: Mapping[S, int]) -> str:
    """Write counts as ``3 succeeded, 1 failed``."""
    return ", ".join(
        f"{count} {state.value.replace('_', ' ')}" for state, count in counts.items() if count
    )


def _with(text: str, counts: str, reason: str | None) -> str:
    text += f" ({counts})" if counts else ""
    return f"{text} - {reason}" if reason else text

"""A sweep's rows: what they say, how far they are, and how they end."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Row, Select, select
from sqlalchemy.orm import Session

from perijove.types.jobs import RunState
from perijove.types.sweeps import Goal, Sweep, SweepCreate, SweepState, SweepTrial, TrialState
from perijove_hub.jobs import stopping
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import RunRow, SweepRow, TrialRow

ACTIVE = (TrialState.queued, TrialState.running)
#: Those that count towards ``max_failures``; one that a person cancelled does not.
FAILED = (TrialState.failed, TrialState.lost, TrialState.no_metric)


def of_sweep(row: SweepRow) -> Select[Any]:
    """The trials of a sweep with what ``trial`` reads of their runs."""
    return (
        select(
            TrialRow.sweep_id,
            TrialRow.number,
            TrialRow.parameters,
            TrialRow.run_id,
            RunRow.state,
            RunRow.reason,
            RunRow.metrics,
            RunRow.started_at,
            RunRow.ended_at,
        )
        .join(RunRow, TrialRow.run_id == RunRow.id)
        .where(TrialRow.sweep_id == row.id)
        .order_by(TrialRow.number)
    )


def trials(session: Session, row: SweepRow) -> list[SweepTrial]:
    """Return every trial of a sweep in the order they were begun; at most a thousand."""
    metric = asked(row).metric
    return [trial(found, metric) for found in session.execute(of_sweep(row))]


def trial(found: Row[Any], metric: str) -> SweepTrial:
    """Tell of one trial."""
    value, state, reason = _number(found.metrics.get(metric)), found.state, found.reason
    if state == RunState.succeeded.value and value is None:
        state = TrialState.no_metric
        others = ", ".join(sorted(found.metrics)) or "none"
        reason = (
            f"It counts as failed: no %metric '{metric}' was logged, or its last value was no "
            f"number (it logged: {others})."
        )
    return SweepTrial(
        number=found.number,
        parameters=found.parameters,
        state=TrialState(state),
        value=value,
        run_id=found.run_id,
        started_at=found.started_at,
        ended_at=found.ended_at,
        reason=reason,
    )


def best(found: Iterable[SweepTrial], goal: Goal) -> SweepTrial | None:
    """Return the trial with the best value, the first of several; ``None`` while there is none."""
    counted = [
        (one.value if goal is Goal.min else -one.value, one.number, one)
        for one in found
        if one.state is TrialState.succeeded and one.value is not None
    ]
    return min(counted, key=lambda one: one[:2])[2] if counted else None


def asked(row: SweepRow) -> SweepCreate:
    """Return what was asked for."""
    return SweepCreate.model_validate(row.spec)


def cancel(session: Session, row: SweepRow, reason: str) -> None:
    """End a sweep, which the caller has locked, and its runs; no further one is made."""
    row.state, row.reason = SweepState.cancelled.value, reason
    row.ended_at = database_now(session)
    session.flush()
    run_ids = select(TrialRow.run_id).where(TrialRow.sweep_id == row.id)
    stopping.stop(session, session.scalars(run_ids).all(), reason)


def wire(row: SweepRow, job_name: str, found: Sequence[SweepTrial]) -> Sweep:
    """Tell of one sweep, whose trials are ``found``."""
    wanted = asked(row)
    return Sweep(
        id=row.id,
        job_id=row.job_id,
        job=job_name,
        version=row.version,
        state=SweepState(row.state),
        reason=row.reason,
        requested_by=row.requested_by,
        **wanted.model_dump(exclude={"version", "trials", "experiment"}),
        trials=row.trials,
        counts={
            state: number
            for state in TrialState
            if (number := sum(one.state is state for one in found))
        },
        best=best(found, wanted.goal),
        tracking_run_id=row.tracking_run_id,
        tracking_note=row.tracking_note,
        created_at=row.created_at,
        ended_at=row.ended_at,
    )


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)

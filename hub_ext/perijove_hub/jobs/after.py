"""Jobs that run after others: what has ended is noted for them."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from perijove.types.jobs import AfterRule, RunState
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import RunRow, ScheduleRow, UpstreamRow

#: Triggers of runs that a schedule makes, in whose name no person asked.
AUTOMATIC = ("schedule", "after", "dataset")

_FAILED = (RunState.failed.value, RunState.lost.value)


def ended(session: Session, run: RunRow) -> None:
    """Note a run that has ended for the jobs that follow its job.

    To be called in the transaction that ends the run, after its state was set. The scheduler
    then looks at those jobs.
    """
    # The schedule is locked before its rows, as the scheduler does it, and always in the same
    # order: two runs that end at the same moment wait for each other, never both for ever.
    followers = session.scalars(
        select(ScheduleRow)
        .where(
            ScheduleRow.job_id.in_(
                select(UpstreamRow.job_id).where(UpstreamRow.upstream_id == run.job_id)
            ),
            ScheduleRow.paused.is_(False),
        )
        .order_by(ScheduleRow.job_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
    for schedule in followers:
        _note(session, schedule, run)
    session.flush()


def fits(rule: str, states: Mapping[str, str]) -> bool | None:
    """Tell whether runs in ``states`` (by any name) make a follower due by ``rule``.

    Where not every upstream has ended one, its state is ``""``; ``None`` means to wait for more.
    A run that a person cancelled is neither a success nor a failure.
    """
    if rule == AfterRule.any_failure and any(state in _FAILED for state in states.values()):
        return True
    if not all(states.values()):
        return None
    if rule == AfterRule.all_success:
        return all(state == RunState.succeeded.value for state in states.values())
    return rule == AfterRule.all_done


def _note(session: Session, schedule: ScheduleRow, run: RunRow) -> None:
    rows = {
        row.upstream_id: row
        for row in session.scalars(
            select(UpstreamRow)
            .where(UpstreamRow.job_id == schedule.job_id)
            .execution_options(populate_existing=True)
        )
    }
    mine = rows[run.job_id]
    judged = schedule.next_slot is None
    if judged and run.rerun_of is None and all(row.run_id for row in rows.values()):
        # They did not fit, and no rerun has mended that: with this run the next round begins.
        for row in rows.values():
            row.run_id = None
    elif not judged and mine.run_id and _better(session, schedule.rule, mine.run_id, than=run):
        return
    mine.run_id = run.id
    schedule.next_slot = database_now(session)


def _better(session: Session, rule: str, noted: str, *, than: RunRow) -> bool:
    """Tell whether a run not yet looked at makes a follower due and the newer one does not."""
    earlier = session.get(RunRow, noted)
    return (
        earlier is not None
        and fits(rule, {"": earlier.state}) is True
        and fits(rule, {"": than.state}) is not True
    )

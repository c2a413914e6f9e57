"""Jobs that run after others: what has ended is noted for them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from perijove.types.base import Principal
from perijove.types.jobs import AfterRule, RunState
from perijove_hub.access import may_see
from perijove_hub.jobs.kinds import FAILED, MANY
from perijove_hub.jobs.notifications import outbox
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import JobRow, PrincipalRow, RunRow, ScheduleRow, UpstreamRow

#: Triggers of runs that a schedule makes, in whose name no person asked.
AUTOMATIC = ("schedule", "after", "dataset")


def ended(session: Session, run: RunRow) -> None:
    """Note a run that has ended for the jobs that follow its job.

    To be called in the transaction that ends the run, after its state was set. The scheduler
    then looks at those jobs. The many runs of backfills and sweeps are followed by none.
    """
    outbox.ended(session, run)
    if run.trigger in MANY:
        return
    session.flush()
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


@dataclass(frozen=True)
class Verdict:
    """What the ended runs of upstream jobs mean for a job that follows them."""

    due: dict[str, str]
    """By job's name: the runs after which it runs now; empty when it does not."""
    unfit: dict[str, str]
    """By job's name: the runs that ended otherwise than the rule asks."""
    because: str = ""
    """Why they are unfit."""

    @property
    def key(self) -> str:
        """What the run is made for."""
        runs = ",".join(sorted(self.due.values()))
        return f"after:{hashlib.sha256(runs.encode()).hexdigest()}"


def judge(session: Session, schedule: ScheduleRow) -> Verdict:
    """Look at what has ended of the jobs that ``schedule`` follows, and forget what was served.

    The caller has locked ``schedule``. Runs that do not fit ``all_success`` stay noted, so that
    a person who runs what failed again mends the chain, until the next round begins.
    """
    found = _upstream(session, schedule.job_id)
    fit = fits(schedule.rule, {job.id: run.state if run else "" for _, job, run in found})
    noted = {job.name: run.id for _, job, run in found if run is not None}
    if fit is None:
        return Verdict({}, {})
    owner = _owner(session, schedule.job_id)
    hidden = [job.name for _, job, _ in found if job.deleted_at or not may_see(owner, job)]
    if hidden:
        _forget(row for row, _, _ in found)
        return Verdict({}, noted, f"{owner.name} may not see {', '.join(hidden)}")
    if not fit:
        if schedule.rule != AfterRule.all_success:
            _forget(row for row, _, _ in found)
        return Verdict({}, noted, f"not {schedule.rule}")
    failing = schedule.rule == AfterRule.any_failure
    served = [
        (row, job.name, run.id)
        for row, job, run in found
        if run is not None and (not failing or run.state in FAILED)
    ]
    _forget(row for row, _, _ in served)
    return Verdict({name: run_id for _, name, run_id in served}, {})


def fits(rule: str, states: Mapping[str, str]) -> bool | None:
    """Tell whether runs in ``states`` (by any name) make a follower due by ``rule``.

    Where not every upstream has ended one, its state is ``""``; ``None`` means to wait for more.
    A run that a person cancelled is neither a success nor a failure.
    """
    if rule == AfterRule.any_failure and any(state in FAILED for state in states.values()):
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
    if judged and run.trigger in AUTOMATIC and all(row.run_id for row in rows.values()):
        # They did not fit, and nobody has mended that: with this run the next round begins.
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


def _upstream(session: Session, job_id: str) -> list[tuple[UpstreamRow, JobRow, RunRow | None]]:
    found = session.execute(
        select(UpstreamRow, JobRow, RunRow)
        .join(JobRow, JobRow.id == UpstreamRow.upstream_id)
        .outerjoin(RunRow, RunRow.id == UpstreamRow.run_id)
        .where(UpstreamRow.job_id == job_id)
        .execution_options(populate_existing=True)
    )
    return [(row, job, run) for row, job, run in found]


def _forget(rows: Iterable[UpstreamRow]) -> None:
    for row in rows:
        row.run_id = None


def _owner(session: Session, job_id: str) -> Principal:
    """Return the owner of a job with the rights that the Hub last said."""
    name = session.get_one(JobRow, job_id).owner
    known = session.get(PrincipalRow, name)
    if known is None:
        return Principal(name=name)
    return Principal(name=name, groups=known.groups, admin=known.admin)

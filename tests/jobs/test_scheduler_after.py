"""Jobs that run after others: each firing once, by the rule, and no circles."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from perijove.types.base import Visibility
from perijove.types.jobs import AfterRule, Job, JobUpdate, Overlap, RunState, Schedule
from perijove_hub.exceptions import Invalid
from perijove_hub.jobs import after, enqueue
from perijove_hub.jobs.scheduler import Scheduler
from perijove_hub.store.models import AuditRow, JobRow, RunRow, ScheduleRow, utcnow
from tests.jobs.conftest import ADA, BOB, Platform
from tests.jobs.notebooks import code, notebook


class Chain:
    """Jobs a, b, … and one that follows them."""

    def __init__(self, platform: Platform, rule: AfterRule, upstream: str = "ab") -> None:
        self.platform = platform
        self.jobs = {name: platform.promote(name=name) for name in upstream}
        ids = [job.id for job in self.jobs.values()]
        wanted = Schedule(after=ids, rule=rule, overlap=Overlap.allow)
        self.jobs["last"] = platform.promote(name="last", schedule=wanted)

    def end(self, name: str, state: str = "succeeded", *, trigger: str = "schedule") -> str:
        """Let a run of job ``name`` end, as the worker does; return its id."""
        with self.platform.context.database.session() as session:
            job = session.get_one(JobRow, self.jobs[name].id)
            run = enqueue.enqueue(
                session,
                self.platform.context,
                job,
                1,
                parameters={},
                trigger=trigger,
                requested_by="ada",
            )
            assert run is not None
            run.state, run.ended_at = state, utcnow()
            after.ended(session, run)
            return run.id

    def fired(self) -> list[dict[str, str]]:
        """Serve what is due; return the runs of the last job, by what they ran after."""
        for _ in range(2):
            Scheduler(self.platform.context).step()
        with self.platform.context.database.reading() as session:
            rows = session.scalars(
                select(RunRow)
                .where(RunRow.job_id == self.jobs["last"].id)
                .order_by(RunRow.queued_at)
            ).all()
        assert all(run.trigger == "after" and run.slot is None for run in rows)
        return [run.upstream for run in rows]

    def skips(self) -> list[dict[str, Any]]:
        with self.platform.context.database.reading() as session:
            found = session.scalars(select(AuditRow).where(AuditRow.verb == "schedule.skip"))
            return [row.detail for row in found]


def test_it_runs_once_when_every_upstream_job_has_succeeded(platform: Platform) -> None:
    chain = Chain(platform, AfterRule.all_success)
    assert chain.fired() == []
    a = chain.end("a")
    assert chain.fired() == []
    b = chain.end("b")
    assert chain.fired() == [{"a": a, "b": b}]
    chain.end("b")
    assert len(chain.fired()) == 1
    chain.end("a")
    assert len(chain.fired()) == 2


def test_the_newest_run_of_each_upstream_job_counts(platform: Platform) -> None:
    chain = Chain(platform, AfterRule.all_success)
    chain.end("a")
    newer, b = chain.end("a"), chain.end("b")
    assert chain.fired() == [{"a": newer, "b": b}]


def test_a_failed_run_does_not_fit_and_a_rerun_mends_the_chain(platform: Platform) -> None:
    chain = Chain(platform, AfterRule.all_success)
    a, failed = chain.end("a"), chain.end("b", "failed")
    assert chain.fired() == []
    assert chain.skips() == [{"because": "not all_success", "runs": {"a": a, "b": failed}}]
    chain.end("b", "failed", trigger="rerun")
    assert chain.fired() == []
    mended = chain.end("b", trigger="rerun")
    assert chain.fired() == [{"a": a, "b": mended}]


def test_after_a_round_that_did_not_fit_the_next_one_begins_afresh(platform: Platform) -> None:
    chain = Chain(platform, AfterRule.all_success)
    chain.end("a")
    chain.end("b", "failed")
    assert chain.fired() == []
    b = chain.end("b")
    # The run of a is of the round before: its outputs are not mixed with the new one's.
    assert chain.fired() == []
    a = chain.end("a")
    assert chain.fired() == [{"a": a, "b": b}]


def test_any_failure_fires_as_soon_as_one_has_failed(platform: Platform) -> None:
    chain = Chain(platform, AfterRule.any_failure)
    chain.end("a")
    assert chain.fired() == []
    failed = chain.end("b", "failed")
    assert chain.fired() == [{"b": failed}]
    lost = chain.end("a", "lost")
    assert chain.fired() == [{"b": failed}, {"a": lost}]


def test_any_failure_is_told_when_none_has_failed(platform: Platform) -> None:
    chain = Chain(platform, AfterRule.any_failure)
    a, b = chain.end("a"), chain.end("b", "cancelled")
    assert chain.fired() == []
    assert chain.skips() == [{"because": "not any_failure", "runs": {"a": a, "b": b}}]


def test_all_done_fires_however_they_ended(platform: Platform) -> None:
    chain = Chain(platform, AfterRule.all_done)
    a, b = chain.end("a", "cancelled"), chain.end("b", "failed")
    assert chain.fired() == [{"a": a, "b": b}]


@pytest.mark.parametrize(
    ("rule", "first", "second"),
    [
        (AfterRule.all_success, "succeeded", "failed"),
        (AfterRule.any_failure, "failed", "succeeded"),
    ],
)
def test_a_run_that_ends_before_the_scheduler_looks_takes_no_firing_away(
    platform: Platform, rule: AfterRule, first: str, second: str
) -> None:
    chain = Chain(platform, rule, upstream="a")
    run = chain.end("a", first)
    chain.end("a", second)
    assert chain.fired() == [{"a": run}]


def test_backfills_and_sweeps_of_an_upstream_job_are_not_followed(platform: Platform) -> None:
    chain = Chain(platform, AfterRule.all_done, upstream="a")
    chain.end("a", trigger="backfill")
    chain.end("a", trigger="sweep")
    assert chain.fired() == []
    chain.end("a", trigger="manual")
    assert len(chain.fired()) == 1


def test_a_chain_of_three_goes_on_from_link_to_link(platform: Platform) -> None:
    chain = Chain(platform, AfterRule.all_success, upstream="a")
    end = platform.promote(name="end", schedule=Schedule(after=[chain.jobs["last"].id]))
    chain.end("a")
    assert len(chain.fired()) == 1
    chain.end("last", trigger="rerun")
    Scheduler(platform.context).step()
    with platform.context.database.reading() as session:
        run = session.scalars(select(RunRow).where(RunRow.job_id == end.id)).one()
    assert list(run.upstream) == ["last"]


def test_while_paused_nothing_is_noted(platform: Platform) -> None:
    chain = Chain(platform, AfterRule.all_success)
    last = chain.jobs["last"]
    assert last.schedule is not None
    running = Schedule(after=last.schedule.after, paused=False)
    chain.end("a")
    paused = running.model_copy(update={"paused": True})
    platform.jobs.update(ADA, last.id, JobUpdate(schedule=paused))
    chain.end("b")
    platform.jobs.update(ADA, last.id, JobUpdate(schedule=running))
    assert chain.fired() == []
    chain.end("b")
    assert chain.fired() == []
    chain.end("a")
    assert len(chain.fired()) == 1


def follow(platform: Platform, job: Job, *others: Job) -> Job:
    wanted = Schedule(after=[other.id for other in others])
    return platform.jobs.update(ADA, job.id, JobUpdate(schedule=wanted))


def test_circles_are_refused_and_named(platform: Platform) -> None:
    a, b, c = (platform.promote(name=name) for name in ("a", "b", "c"))
    follow(platform, b, a)
    told = follow(platform, c, b, a).schedule
    assert told and sorted(told.after) == sorted([a.id, b.id])
    with pytest.raises(Invalid) as caught:
        follow(platform, a, c)
    assert caught.value.field == "schedule.after"
    assert "a → c → " in caught.value.detail and caught.value.detail.endswith("→ a.")
    with pytest.raises(Invalid, match="a → a"):
        follow(platform, a, a)
    assert platform.jobs.get(ADA, a.id).schedule is None


def test_only_jobs_that_the_caller_sees_and_that_are_there_can_be_followed(
    platform: Platform,
) -> None:
    secret = platform.promote(name="secret", by=BOB)
    mine = platform.promote(name="mine")
    with pytest.raises(Invalid) as caught:
        follow(platform, mine, secret)
    assert caught.value.field == "schedule.after.0"
    gone = platform.promote(name="gone")
    platform.jobs.delete(ADA, gone.id)
    with pytest.raises(Invalid, match="The job 'gone', after which it ran, was deleted"):
        follow(platform, mine, gone)


def test_two_upstream_jobs_of_one_name_are_refused(platform: Platform) -> None:
    theirs = platform.promote(name="etl", by=BOB, visibility=Visibility.everyone)
    ours, mine = platform.promote(name="etl"), platform.promote(name="mine")
    with pytest.raises(Invalid, match="Two of the jobs are called 'etl'"):
        follow(platform, mine, ours, theirs)


def test_a_job_that_is_no_longer_shared_is_no_longer_followed(platform: Platform) -> None:
    theirs = platform.promote(name="theirs", by=BOB, visibility=Visibility.everyone)
    chain = Chain(platform, AfterRule.all_done, upstream="a")
    chain.jobs["theirs"] = theirs
    follow(platform, chain.jobs["last"], theirs)
    chain.end("theirs")
    assert len(chain.fired()) == 1
    private = JobUpdate(visibility=Visibility.private)
    platform.jobs.update(BOB, theirs.id, private)
    chain.end("theirs")
    assert len(chain.fired()) == 1
    assert chain.skips()[0]["because"] == "ada may not see theirs"


def test_when_an_upstream_job_is_deleted_its_followers_are_paused_and_told(
    platform: Platform,
) -> None:
    chain = Chain(platform, AfterRule.all_done)
    platform.jobs.delete(ADA, chain.jobs["a"].id)
    told = platform.jobs.get(ADA, chain.jobs["last"].id).schedule
    assert told and told.paused
    with platform.context.database.reading() as session:
        entry = session.scalars(select(AuditRow).where(AuditRow.verb == "schedule.pause")).one()
        assert "was deleted" in entry.detail["because"]
        assert session.get_one(ScheduleRow, chain.jobs["last"].id).next_slot is None


def test_a_job_really_runs_after_another_and_only_when_that_succeeded(platform: Platform) -> None:
    broken = notebook(code("works: bool = True", tags=["parameters"]), code("assert works"))
    first = platform.promote(broken, name="first")
    second = platform.promote(name="second", schedule=Schedule(after=[first.id]))
    platform.finished(platform.run(first, works=False))
    for _ in range(3):
        platform.duty.tick()
    assert platform.jobs.get(ADA, second.id).last_run is None
    mended = platform.finished(platform.run(first))

    def done() -> bool:
        run = platform.jobs.get(ADA, second.id).last_run
        return run is not None and run.state.terminal

    platform.tick_until(done)
    run = platform.jobs.get(ADA, second.id).last_run
    assert run is not None
    assert (run.state, run.trigger) == (RunState.succeeded, "after")
    assert run.upstream == {"first": mended.id}

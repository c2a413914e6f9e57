"""Two people who change a job at once lose nothing of each other's."""

from __future__ import annotations

import threading

import pytest

from perijove.types.base import Visibility
from perijove.types.jobs import AfterRule, Job, JobUpdate, Overlap, Policy, Resources, Schedule
from perijove_hub.exceptions import Conflict, Invalid
from perijove_hub.store.models import ScheduleRow
from tests.jobs.conftest import ADA, BOB, Platform


def changed(platform: Platform, job: Job, **fields: object) -> Job:
    """Change a job by what a client sends: only what is named here is set."""
    return platform.jobs.update(ADA, job.id, JobUpdate.model_validate(fields))


def test_what_a_change_does_not_name_stays_as_it_is(platform: Platform) -> None:
    job = platform.promote(
        schedule=Schedule(cron="0 6 * * *", timezone="Europe/Berlin", parameters={"C": 2.0})
    )
    changed(platform, job, policy={"retries": 3}, resources={"memory_mb": 512})
    changed(platform, job, policy={"priority": 5}, resources={"timeout_s": 60})
    job = changed(platform, job, schedule={"overlap": "skip"})
    assert job.policy == Policy(retries=3, priority=5)
    assert job.resources == Resources(memory_mb=512, timeout_s=60)
    job = changed(platform, job, schedule={"paused": True}, resources={"memory_mb": None})
    assert job.resources == Resources(timeout_s=60)
    kept = job.schedule
    assert kept and (kept.cron, kept.timezone) == ("0 6 * * *", "Europe/Berlin")
    assert (kept.overlap, kept.paused, kept.parameters) == (Overlap.skip, True, {"C": 2.0})


def test_a_schedule_is_paused_whatever_is_wrong_with_it_by_now(platform: Platform) -> None:
    load = platform.promote(name="load", by=BOB, visibility=Visibility.everyone)
    after = platform.promote(name="report", schedule=Schedule(after=[load.id]))
    platform.jobs.update(BOB, load.id, JobUpdate(visibility=Visibility.private))
    clock = platform.promote(schedule=Schedule(cron="0 6 * * *", parameters={"C": 2.0}))
    with platform.context.database.session() as session:
        # As if it had been taken before it was refused.
        session.get_one(ScheduleRow, clock.id).cron = "*/90 * * * *"
    for job, wrong in ((after, "schedule.after.0"), (clock, "schedule.cron")):
        kept = changed(platform, job, schedule={"paused": True}).schedule
        assert kept and kept.paused and kept.next_slot is None
        # Once more is as well.
        assert changed(platform, job, schedule={"paused": True}).schedule == kept
        for other in ({"paused": False}, {"paused": True, "overlap": "skip"}):
            with pytest.raises(Invalid) as caught:
                changed(platform, job, schedule=other)
            assert caught.value.field == wrong


def test_a_promotion_keeps_the_policy_that_it_does_not_name(platform: Platform) -> None:
    asked = {"keep_days": 3, "concurrency": 2}
    assert platform.promote(policy=asked).policy == Policy(keep_days=3, concurrency=2)
    again = platform.promote(policy={"retries": 2, "concurrency": None})
    assert again.policy == Policy(keep_days=3, retries=2)
    assert platform.promote().policy == again.policy


def test_another_way_to_be_due_takes_what_goes_only_with_the_one_before(
    platform: Platform,
) -> None:
    other = platform.promote(name="other")
    job = platform.promote(schedule=Schedule(cron="0 6 * * *", timezone="Asia/Tokyo"))
    job = changed(platform, job, schedule={"after": [other.id], "rule": "all_done"})
    assert job.schedule and (job.schedule.cron, job.schedule.timezone) == (None, "UTC")
    job = changed(platform, job, schedule={"every_s": 60})
    assert job.schedule and job.schedule.after == []
    assert (job.schedule.every_s, job.schedule.rule) == (60, AfterRule.all_success)
    with pytest.raises(Invalid) as caught:
        changed(platform, job, schedule={"every_s": None})
    assert caught.value.field == "schedule"


def test_changes_at_the_same_moment_are_both_kept(platform: Platform) -> None:
    job = platform.promote(schedule=Schedule(cron="0 6 * * *"))
    changes: list[dict[str, object]] = [
        {"schedule": {"overlap": "skip"}},
        {"schedule": {"catch_up": "all"}},
        {"schedule": {"paused": True}},
        {"policy": {"retries": 3}},
        {"policy": {"priority": 5}},
    ]
    start = threading.Barrier(len(changes))

    def change(fields: dict[str, object]) -> None:
        start.wait()
        changed(platform, job, **fields)

    threads = [threading.Thread(target=change, args=(fields,)) for fields in changes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    job = platform.jobs.get(ADA, job.id)
    assert job.schedule and job.schedule.paused
    assert (job.schedule.overlap, job.schedule.catch_up) == ("skip", "all")
    assert job.policy == Policy(retries=3, priority=5)


def test_parameters_that_somebody_else_changed_meanwhile_are_not_overwritten(
    platform: Platform,
) -> None:
    job = platform.promote(schedule=Schedule(cron="0 6 * * *"))
    mine = {"seen": {}, "schedule": {"parameters": {"C": 1.0}}}
    changed(platform, job, schedule={"parameters": {"C": 9.0}})
    with pytest.raises(Conflict, match="somebody else meanwhile") as caught:
        changed(platform, job, **mine)
    assert caught.value.field == "schedule.parameters"
    job = platform.jobs.get(ADA, job.id)
    assert job.schedule and job.schedule.parameters == {"C": 9.0}
    changed(platform, job, policy={"retries": 1})
    changed(platform, job, **{**mine, "seen": {"C": 9.0}})


def test_the_jobs_it_follows_are_told_by_name_to_who_may_see_them(platform: Platform) -> None:
    load, clean = platform.promote(name="load"), platform.promote(name="clean")
    platform.jobs.update(ADA, clean.id, JobUpdate(visibility=Visibility.everyone))
    job = platform.promote(name="report", schedule=Schedule(after=[load.id, clean.id]))
    assert job.schedule and job.schedule.after_names == {load.id: "load", clean.id: "clean"}
    platform.jobs.update(ADA, job.id, JobUpdate(visibility=Visibility.everyone))
    seen = platform.jobs.get(BOB, job.id).schedule
    assert seen and seen.after_names == {clean.id: "clean"}
    assert set(seen.after) == {load.id, clean.id}
    platform.jobs.delete(ADA, load.id)
    job = platform.jobs.get(ADA, job.id)
    assert job.schedule and job.schedule.paused
    assert job.schedule.after_names == {load.id: "load (deleted)", clean.id: "clean"}

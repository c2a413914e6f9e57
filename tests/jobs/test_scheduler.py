"""What becomes of slots that were missed, and of those that come while a run is not over."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from perijove.types.jobs import CatchUp, Follow, JobUpdate, Overlap, Schedule
from perijove_hub.context import Context
from perijove_hub.jobs import batch, overlap
from perijove_hub.jobs.scheduler import Scheduler
from perijove_hub.store.models import AuditRow, RunRow, ScheduleRow
from tests.jobs.conftest import ADA, Platform
from tests.jobs.scheduling import add_missed, add_schedules, now_of

HOUR = 3600


def steps(context: Context, number: int = 1) -> None:
    for _ in range(number):
        Scheduler(context).step()


def slots(context: Context) -> list[datetime | None]:
    with context.database.reading() as session:
        return list(session.scalars(select(RunRow.slot).order_by(RunRow.slot)))


def row_of(context: Context, job_id: str) -> ScheduleRow:
    with context.database.reading() as session:
        return session.get_one(ScheduleRow, job_id)


def skips(context: Context) -> list[dict[str, Any]]:
    with context.database.reading() as session:
        found = session.scalars(select(AuditRow).where(AuditRow.verb == "schedule.skip"))
        return [row.detail for row in found]


def set_runs(context: Context, **values: Any) -> None:
    with context.database.session() as session:
        session.execute(update(RunRow).values(**values))


def make_due(context: Context, job_id: str) -> None:
    """Let the schedule's next slot be one that was due a moment ago."""
    with context.database.session() as session:
        row = session.get_one(ScheduleRow, job_id)
        step = timedelta(seconds=row.every_s or 0)
        assert row.anchor and row.next_slot
        back = row.next_slot - now_of(context.database) + timedelta(seconds=1)
        row.anchor, row.next_slot = row.anchor - back, row.next_slot - back
        assert (row.next_slot - row.anchor) % step == timedelta()


def test_catching_up_on_all_serves_each_missed_slot_oldest_first(context: Context) -> None:
    (job,) = add_missed(context.database, 1, slots=35, every_s=HOUR)
    steps(context)
    assert len(slots(context)) == 10
    steps(context, 4)
    found = slots(context)
    row = row_of(context, job)
    assert row.anchor is not None
    assert found == [row.anchor + k * timedelta(hours=1) for k in range(1, 36)]
    assert row.last_slot == found[-1]
    assert row.next_slot == row.anchor + timedelta(hours=36)
    assert skips(context) == []


def test_catching_up_on_the_latest_serves_one_and_tells_of_the_others(context: Context) -> None:
    (job,) = add_missed(context.database, 1, slots=35, every_s=HOUR, catch_up="latest")
    steps(context, 2)
    row = row_of(context, job)
    assert slots(context) == [row.last_slot]
    assert [one["skipped"] for one in skips(context)] == [34]


def test_catching_up_on_nothing_leaves_missed_slots_out_and_goes_on(context: Context) -> None:
    (job,) = add_missed(context.database, 1, slots=35, every_s=HOUR, catch_up="skip")
    steps(context, 2)
    assert slots(context) == []
    assert [one["skipped"] for one in skips(context)] == [35]
    row = row_of(context, job)
    assert row.last_slot and row.next_slot == row.last_slot + timedelta(hours=1)
    make_due(context, job)
    steps(context)
    assert len(slots(context)) == 1


@pytest.mark.parametrize(("policy", "expected"), [("all", 5), ("latest", 1), ("skip", 0)])
def test_slots_older_than_the_window_are_left_out(
    context: Context, policy: str, expected: int
) -> None:
    window = 5 * HOUR
    add_missed(
        context.database, 1, slots=35, every_s=HOUR, catch_up=policy, catch_up_window_s=window
    )
    steps(context, 3)
    assert len(slots(context)) == expected
    assert sum(one["skipped"] for one in skips(context)) == 35 - expected
    oldest = now_of(context.database) - timedelta(seconds=window + 60)
    assert all(slot and slot > oldest for slot in slots(context))


def test_a_window_shorter_than_the_interval_leaves_all_missed_ones_out(context: Context) -> None:
    add_missed(context.database, 1, slots=3, every_s=HOUR, catch_up_window_s=60)
    steps(context, 2)
    assert slots(context) == []
    assert [one["skipped"] for one in skips(context)] == [3]


def one_active(context: Context, policy: Overlap, **run: Any) -> str:
    """Add a schedule that has one active run and is due again."""
    (job,) = add_missed(
        context.database, 1, slots=1, every_s=HOUR, overlap=policy, catch_up="latest"
    )
    steps(context)
    assert len(slots(context)) == 1
    if run:
        set_runs(context, **run)
    make_due(context, job)
    return job


def test_overlap_skip_leaves_the_slot_out_while_a_run_is_not_over(context: Context) -> None:
    job = one_active(context, Overlap.skip, state="running")
    steps(context)
    assert len(slots(context)) == 1
    assert [one["because"] for one in skips(context)] == ["an earlier run is not over"]
    set_runs(context, state="succeeded")
    make_due(context, job)
    steps(context)
    assert len(slots(context)) == 2


def test_overlap_queue_lets_one_wait_until_the_earlier_run_is_over(context: Context) -> None:
    job = one_active(context, Overlap.queue, state="running")
    steps(context)
    assert len(slots(context)) == 2
    assert held(context) == 1
    make_due(context, job)
    steps(context)
    assert len(slots(context)) == 2
    assert len(skips(context)) == 1
    with context.database.session() as session:
        session.execute(update(RunRow).where(RunRow.state == "running").values(state="succeeded"))
    assert held(context) == 0


def test_of_two_queued_runs_of_a_schedule_the_later_one_waits(context: Context) -> None:
    one_active(context, Overlap.queue)
    steps(context)
    assert len(slots(context)) == 2
    assert held(context) == 1


def held(context: Context) -> int:
    with context.database.reading() as session:
        rows = select(RunRow).where(RunRow.state == "queued", overlap.held())
        return len(session.scalars(rows).all())


def test_overlap_allow_queues_beside_runs_that_are_not_over(context: Context) -> None:
    one_active(context, Overlap.allow, state="running")
    steps(context)
    assert len(slots(context)) == 2
    assert held(context) == 0


@pytest.mark.parametrize("state", ["queued", "running"])
def test_overlap_cancel_cancels_the_earlier_run_and_waits_for_its_end(
    context: Context, state: str
) -> None:
    one_active(context, Overlap.cancel, state=state)
    steps(context)
    with context.database.reading() as session:
        earlier, later = session.scalars(select(RunRow).order_by(RunRow.slot)).all()
    assert later.state == "queued"
    assert "next run was due" in (earlier.reason or "")
    if state == "queued":
        assert (earlier.state, earlier.cause) == ("cancelled", "cancelled")
        assert earlier.ended_at is not None
    else:
        assert earlier.state == "running"
        assert earlier.cancel_requested
    assert held(context) == int(state == "running")


def test_runs_that_people_start_are_in_no_schedules_way(platform: Platform) -> None:
    context = platform.context
    job = platform.promote(schedule=Schedule(every_s=HOUR, overlap=Overlap.skip))
    platform.run(job)
    make_due(context, job.id)
    steps(context)
    assert len([slot for slot in slots(context) if slot]) == 1
    assert held(context) == 0


@pytest.mark.parametrize("policy", [Overlap.skip, Overlap.queue, Overlap.cancel])
def test_missed_slots_wait_for_each_other_and_none_is_lost(
    context: Context, policy: Overlap
) -> None:
    (job,) = add_missed(context.database, 1, slots=5, every_s=HOUR, overlap=policy)
    for _ in range(10):
        steps(context, 2)
        with context.database.reading() as session:
            active = session.scalars(select(RunRow.state).where(RunRow.state == "queued")).all()
        assert len(active) <= (2 if policy is Overlap.queue else 1)
        set_runs(context, state="succeeded")
    row = row_of(context, job)
    assert row.anchor is not None
    assert slots(context) == [row.anchor + k * timedelta(hours=1) for k in range(1, 6)]
    assert skips(context) == []


def test_a_thousand_schedules_due_at_once_are_served_in_one_step(context: Context) -> None:
    slot = now_of(context.database) - timedelta(seconds=1)
    add_schedules(context.database, 1000, cron="0 0 29 2 *", next_slot=slot, overlap="allow")
    steps(context)
    assert slots(context) == [slot] * 1000


def test_what_cannot_be_served_keeps_nothing_else_from_being_served(
    context: Context, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    slot = now_of(context.database) - timedelta(seconds=1)
    names = add_schedules(context.database, 60, cron="0 0 29 2 *", next_slot=slot)
    real = batch.enqueue_all

    def failing(session: Any, context: Any, wanted: Any) -> Any:
        if any(one.job.id in names[3:55] for one in wanted):
            raise RuntimeError("the disk is full")
        return real(session, context, wanted)

    monkeypatch.setattr(batch, "enqueue_all", failing)
    scheduler = Scheduler(context)
    for _ in range(3):
        scheduler.step()
    assert len(slots(context)) == 8
    assert "could not be served now" in caplog.text
    monkeypatch.undo()
    for _ in range(3):
        scheduler.step()
    assert slots(context) == [slot] * 60


def test_more_failing_schedules_than_one_step_looks_at_do_not_stop_the_others(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = now_of(context.database)
    add_schedules(context.database, 120, cron="0 0 29 2 *", next_slot=now - timedelta(seconds=9))
    with context.database.session() as session:
        last = session.get_one(ScheduleRow, "job-000119")
        last.next_slot = now - timedelta(seconds=1)
    real = batch.enqueue_all

    def failing(session: Any, context: Any, wanted: Any) -> Any:
        if any(one.job.id != "job-000119" for one in wanted):
            raise RuntimeError("no")
        return real(session, context, wanted)

    monkeypatch.setattr(batch, "enqueue_all", failing)
    monkeypatch.setattr("perijove_hub.jobs.scheduler.ROUNDS", 1)
    scheduler = Scheduler(context)
    for _ in range(3):
        scheduler.step()
    assert len(slots(context)) == 1


def test_an_exhausted_quota_is_written_down_as_a_run_that_was_refused(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perijove_hub.jobs.quota.refusal", lambda *_: "Nothing is left.")
    add_missed(context.database, 1, slots=1, every_s=HOUR)
    steps(context, 2)
    with context.database.reading() as session:
        run = session.scalars(select(RunRow)).one()
    assert (run.state, run.cause, run.reason) == ("failed", "refused", "Nothing is left.")
    assert run.ended_at is not None


def test_a_schedule_that_follows_approval_leaves_slots_out_until_there_is_one(
    platform: Platform,
) -> None:
    job = platform.promote(schedule=Schedule(every_s=HOUR, version=Follow.approved))
    make_due(platform.context, job.id)
    steps(platform.context)
    assert slots(platform.context) == []
    assert "approved" in skips(platform.context)[0]["because"]


def test_changing_other_things_keeps_what_is_due_and_the_interval(platform: Platform) -> None:
    job = platform.promote(schedule=Schedule(every_s=HOUR))
    make_due(platform.context, job.id)
    before = row_of(platform.context, job.id)
    wanted = Schedule(every_s=HOUR, parameters={"C": 2}, catch_up=CatchUp.all)
    platform.jobs.update(ADA, job.id, JobUpdate(schedule=wanted))
    after = row_of(platform.context, job.id)
    assert (after.anchor, after.next_slot) == (before.anchor, before.next_slot)
    steps(platform.context)
    with platform.context.database.reading() as session:
        assert session.scalars(select(RunRow.parameters)).one() == {"C": 2.0}
    other = Schedule(every_s=HOUR + 1)
    changed = platform.jobs.update(ADA, job.id, JobUpdate(schedule=other)).schedule
    assert changed and changed.next_slot and changed.last_slot == before.next_slot
    assert changed.next_slot > now_of(platform.context.database) + timedelta(minutes=59)


def test_what_was_due_while_paused_is_not_caught_up(platform: Platform) -> None:
    running = Schedule(every_s=HOUR, catch_up=CatchUp.all, paused=False)
    job = platform.promote(schedule=running)
    paused = running.model_copy(update={"paused": True})
    platform.jobs.update(ADA, job.id, JobUpdate(schedule=paused))
    with platform.context.database.session() as session:
        row = session.get_one(ScheduleRow, job.id)
        assert row.anchor is not None
        row.anchor -= timedelta(hours=5, minutes=30)
    resumed = platform.jobs.update(ADA, job.id, JobUpdate(schedule=running)).schedule
    assert resumed and resumed.next_slot
    assert resumed.next_slot > now_of(platform.context.database)
    steps(platform.context)
    assert slots(platform.context) == []

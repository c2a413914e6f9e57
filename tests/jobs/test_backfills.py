"""Backfills: which slots they have, what they skip, and that each runs exactly once."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, select, update

from perijove.types.backfills import (
    Backfill,
    BackfillCreate,
    BackfillRun,
    BackfillState,
    Range,
    Reprocess,
    Slots,
    SlotState,
)
from perijove.types.base import Principal
from perijove.types.jobs import Job, Schedule
from perijove_hub.context import Context
from perijove_hub.exceptions import Conflict, Invalid, NotFound, Refused
from perijove_hub.jobs.backfills.duty import BackfillDuty
from perijove_hub.jobs.backfills.service import BackfillService
from perijove_hub.settings import QuotaSettings
from perijove_hub.store.models import AuditRow, BackfillRow, RunRow, utcnow
from tests.jobs.conftest import ADA, BOB, GRACE, Platform
from tests.jobs.notebooks import code, notebook

DAILY = notebook(
    code(
        "import datetime\nday: datetime.date = None\nC: float = 0.5\nn: int = 1\nat: str = ''",
        tags=["parameters"],
    ),
    code("print('day', day, 'C', C, 'at', at)"),
)


def over(start: str, end: str, **more: Any) -> Slots:
    """Make a range as a request has it, in text."""
    return Slots.model_validate({"start": start, "end": end, **more})


JANUARY = over(start="2026-01-01", end="2026-01-11", every="day")


def service(platform: Platform) -> BackfillService:
    return BackfillService(platform.context)


def ask(
    platform: Platform, job: Job, *, by: Principal = ADA, key: str | None = None, **asked: Any
) -> Backfill:
    """Start a backfill, or plan one with ``dry_run``."""
    body = BackfillCreate(**asked)
    if body.dry_run:
        return service(platform).plan(by, job.id, body)
    return service(platform).create(by, job.id, body, key=key)


def plan(platform: Platform, job: Job, **asked: Any) -> list[BackfillRun]:
    return ask(platform, job, dry_run=True, **asked).plan


def runs(platform: Platform, backfill: Backfill, **more: Any) -> list[BackfillRun]:
    page = service(platform).runs(
        ADA, backfill.id or "", **{"state": None, "cursor": None, "limit": 500, **more}
    )
    return page.items


def get(platform: Platform, backfill: Backfill) -> Backfill:
    return service(platform).get(ADA, backfill.id or "")


def end(context: Context, state: str = "succeeded", *, only: int | None = None) -> int:
    """End queued runs as an executor would; returns how many."""
    with context.database.session() as session:
        rows = select(RunRow.id).where(RunRow.state == "queued").order_by(RunRow.queued_at)
        found = session.scalars(rows.limit(only)).all()
        session.execute(
            update(RunRow).where(RunRow.id.in_(found)).values(state=state, ended_at=utcnow())
        )
        return len(found)


def count(context: Context) -> int:
    with context.database.reading() as session:
        return session.scalar(select(func.count()).select_from(RunRow)) or 0


def local(found: list[BackfillRun], zone: str) -> list[str]:
    return [f"{one.slot.astimezone(ZoneInfo(zone)):%m-%d %H:%M}" for one in found if one.slot]


@pytest.fixture
def job(platform: Platform) -> Job:
    return platform.promote(DAILY)


def test_an_end_that_is_proposed_is_an_instant_and_is_taken(platform: Platform) -> None:
    # There it is another day already for most of the time, or not yet.
    for zone, offset in (("Pacific/Kiritimati", "+14:00"), ("Pacific/Pago_Pago", "-11:00")):
        schedule = Schedule(cron="* * * * *", timezone=zone)
        job = platform.promote(DAILY, name=zone.partition("/")[2].lower(), schedule=schedule)
        now = datetime.now(ZoneInfo(zone)).replace(tzinfo=None)
        start = (now - timedelta(minutes=5)).isoformat()
        end = (now + timedelta(minutes=5)).isoformat()
        with pytest.raises(Invalid, match="still to come") as caught:
            plan(platform, job, slots=over(start, end))
        proposed = (caught.value.fix or "").split()[4]
        assert proposed.endswith(offset)
        assert plan(platform, job, slots=over(start, proposed))


def test_a_dry_run_names_every_slot_and_makes_nothing(platform: Platform, job: Job) -> None:
    planned = ask(
        platform, job, slots=JANUARY, bind={"day": "date", "at": "%Y/%m/%d"}, dry_run=True
    )
    assert planned.id is None
    assert planned.counts == {SlotState.waiting: 10}
    assert planned.plan[0].parameters == {"day": "2026-01-01", "at": "2026/01/01"}
    assert planned.plan[-1].slot == datetime(2026, 1, 10, tzinfo=UTC), "the end is not included"
    BackfillDuty(platform.context).tick()
    assert count(platform.context) == 0
    assert service(platform).list(ADA, job.id, cursor=None, limit=5).items == []


def test_days_and_hours_follow_the_rule_of_schedules_where_clocks_change(
    platform: Platform, job: Job
) -> None:
    berlin = {"timezone": "Europe/Berlin"}
    start, end_ = "2026-03-28T02:30", "2026-03-31T02:30"
    days = plan(platform, job, slots=over(start=start, end=end_, every="day", **berlin))
    assert local(days, "Europe/Berlin") == ["03-28 02:30", "03-29 03:00", "03-30 02:30"]
    start, end_ = "2026-10-24T02:30", "2026-10-27"
    days = plan(platform, job, slots=over(start=start, end=end_, every="day", **berlin))
    assert [text[:5] for text in local(days, "Europe/Berlin")] == ["10-24", "10-25", "10-26"]
    for month, day, hours in ((3, 29, 23), (10, 25, 25)):
        whole = over(
            start=f"2026-{month:02}-{day}",
            end=f"2026-{month:02}-{day + 1}",
            every="hour",
            **berlin,
        )
        assert len(plan(platform, job, slots=whole)) == hours
        by_cron = whole.model_copy(update={"every": None, "cron": "0 * * * *"})
        assert len(plan(platform, job, slots=by_cron)) == hours


def test_slots_are_the_jobs_own_unless_it_says_otherwise(platform: Platform) -> None:
    schedule = Schedule(cron="0 6 * * 1-5", timezone="Asia/Tokyo")
    job = platform.promote(DAILY, schedule=schedule)
    week = {"start": "2026-01-05", "end": "2026-01-12"}
    whole = ask(platform, job, slots=over(**week), bind={"day": "date"}, dry_run=True)
    assert whole.slots is not None
    assert whole.slots.timezone == "Asia/Tokyo"
    found = whole.plan
    assert local(found, "Asia/Tokyo") == [f"01-{day:02} 06:00" for day in range(5, 10)]
    assert [one.parameters["day"] for one in found] == [f"2026-01-{day:02}" for day in range(5, 10)]
    assert len(plan(platform, job, slots=over(**week, every=43_200))) == 14
    assert len(plan(platform, job, slots=over(**week, cron="0 0 * * 0"))) == 1


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"parameter": "C", "start": 0, "stop": 1, "step": 0.1}, [n / 10 for n in range(10)]),
        ({"parameter": "n", "start": 3, "stop": 0, "step": -1}, [3, 2, 1]),
        ({"parameter": "n", "values": [4, 2]}, [4, 2]),
        (
            {"parameter": "day", "start": "2026-02-27", "stop": "2026-03-02"},
            ["2026-02-27", "2026-02-28", "2026-03-01"],
        ),
    ],
)
def test_a_range_counts_one_parameter(
    platform: Platform, job: Job, wanted: dict[str, Any], expected: list[Any]
) -> None:
    found = plan(platform, job, range=Range(**wanted), parameters={"at": "x"})
    assert [one.parameters[wanted["parameter"]] for one in found] == expected
    assert {one.parameters["at"] for one in found} == {"x"}


TO_2027 = {"start": "2026-01-01", "end": "2027-01-01"}


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({}, "slots", "exactly one"),
    ({"slots": JANUARY, "range": Range(parameter="C", values=[1])}, "range", "exactly one"),
    ({"slots": over(**TO_2027)}, "slots", "no schedule"),
    ({"slots": over(**TO_2027, every=60)}, "slots", "10,000"),
    (
        {"slots": over(**TO_2027, every="day", timezone="Berlin")},
        "slots.timezone",
        "time zone",
    ),
    ({"slots": over(**TO_2027, cron="0 0 * *")}, "slots.cron", "five fields"),
    ({"slots": over(**TO_2027, cron="0 0 * * *", every="day")}, "slots.every", "either"),
    (
        {"slots": over(start=TO_2027["end"], end=TO_2027["start"], every="day")},
        "slots.end",
        "before it begins",
    ),
    (
        {"slots": over(start="0001-01-01", end="2026-01-01", every="day")},
        "slots.start",
        "out of range",
    ),
    ({"slots": JANUARY, "bind": {"dya": "date"}}, "bind.dya", "Did you mean 'day'"),
    ({"slots": JANUARY, "bind": {"C": "date"}}, "bind.C", "cannot be 'date'"),
    ({"slots": JANUARY, "bind": {"day": "tag"}}, "bind.day", "neither"),
    ({"slots": JANUARY, "bind": {"at": "%Y-%Q"}}, "bind.at", "%Q"),
    ({"slots": JANUARY, "bind": {"n": "%Y-%m"}}, "bind.n", "whole number"),
    ({"slots": JANUARY, "bind": {"day": "%d.%m."}}, "bind.day", "must be a date"),
    (
        {"slots": JANUARY, "bind": {"day": "date"}, "parameters": {"day": "2026-01-01"}},
        "parameters.day",
        "Leave one out",
    ),
    ({"slots": JANUARY, "parameters": {"C": "much"}}, "parameters.C", "must be a number"),
    ({"range": Range(parameter="c", values=[1])}, "range.parameter", "Did you mean 'C'"),
    ({"range": Range(parameter="C", values=["x"])}, "range.values", "must be a number"),
    ({"range": Range(parameter="C")}, "range.values", "empty"),
    ({"range": Range(parameter="C", start=0)}, "range.stop", "needs 'stop'"),
    ({"range": Range(parameter="C", start=0, stop=1, step=0)}, "range.step", "nowhere"),
    (
        {"range": Range(parameter="day", start="2026-01-01", stop="2026-02-01", step=float("inf"))},
        "range.step",
        "nowhere",
    ),
    ({"range": Range(parameter="n", start=0.5, stop=1)}, "range.start", "whole number"),
    ({"range": Range(parameter="n", start=5, stop=1)}, "range", "nothing in this range"),
    ({"range": Range(parameter="C", start=0, stop=1, step=1e-9)}, "range", "10,000"),
    ({"range": Range(parameter="at", start="a", stop="b")}, "range.start", "values"),
    ({"range": Range(parameter="C", values=[1]), "bind": {"day": "date"}}, "bind", "no slots"),
    ({"slots": JANUARY, "version": 7}, "version", "no version 7"),
]


def test_what_is_wrong_is_refused_before_anything_starts(platform: Platform, job: Job) -> None:
    for asked, field, words in WRONG:
        with pytest.raises(Invalid) as told:
            ask(platform, job, **asked)
        assert told.value.field == field, asked
        assert words in f"{told.value.detail} {told.value.fix}", asked
    assert service(platform).list(ADA, job.id, cursor=None, limit=5).items == []


def test_it_keeps_a_few_runs_alive_and_never_makes_the_rest_before(
    platform: Platform, job: Job
) -> None:
    started = time.monotonic()
    backfill = ask(
        platform, job, range=Range(parameter="n", start=0, stop=10_000), concurrency=3, reverse=True
    )
    assert time.monotonic() - started < 30
    duty = BackfillDuty(platform.context)
    for _ in range(3):
        duty.tick()
    assert count(platform.context) == 3
    end(platform.context, only=1)
    end(platform.context, "failed", only=1)
    duty.tick()
    assert count(platform.context) == 5
    told = get(platform, backfill)
    assert told.total == 10_000
    assert told.counts == {
        SlotState.waiting: 9_995,
        SlotState.queued: 3,
        SlotState.succeeded: 1,
        SlotState.failed: 1,
    }
    made = runs(platform, backfill, state=SlotState.queued)
    assert [one.position for one in made] == [9_995, 9_996, 9_997], "the last ones come first"
    with platform.context.database.reading() as session:
        run = session.get_one(RunRow, made[0].run_id)
        assert (run.trigger, run.priority, run.parameters) == ("backfill", -10, {"n": 9_995})
        assert run.key == f"backfill:{backfill.id}:9995"


def test_it_ends_when_its_last_run_has(platform: Platform, job: Job) -> None:
    backfill = ask(platform, job, slots=JANUARY, concurrency=7)
    duty = BackfillDuty(platform.context)
    for expected in (7, 3):
        duty.tick()
        assert end(platform.context) == expected
        assert get(platform, backfill).state is BackfillState.running
    duty.tick()
    told = get(platform, backfill)
    assert (told.state, told.counts) == (BackfillState.ended, {SlotState.succeeded: 10})
    assert told.ended_at is not None
    duty.tick()
    assert count(platform.context) == 10


@pytest.mark.parametrize(
    ("reprocess", "again"),
    [(Reprocess.none, [3]), (Reprocess.failed, [1, 2, 3]), (Reprocess.all, [0, 1, 2, 3, 4])],
)
@pytest.mark.parametrize("kind", ["slots", "range"])
def test_what_ran_before_is_run_again_or_not(
    platform: Platform, job: Job, kind: str, reprocess: Reprocess, again: list[int]
) -> None:
    days = over(start="2026-01-01", end="2026-01-06", every="day")
    asked: dict[str, Any] = (
        {"slots": days, "bind": {"day": "date"}}
        if kind == "slots"
        else {"range": Range(parameter="n", start=1, stop=6)}
    )
    planned = plan(platform, job, **asked)
    with platform.context.database.session() as session:
        before = ((0, "failed"), (0, "succeeded"), (1, "succeeded"), (1, "failed"), (2, "lost"))
        for at, state in before:
            row = RunRow(job_id=job.id, version=1, owner="ada", requested_by="ada", state=state)
            row.slot, row.parameters = planned[at].slot, planned[at].parameters
            row.trigger = "schedule"
            session.add(row)
            session.flush()
        waits = RunRow(job_id=job.id, version=1, owner="ada", requested_by="ada")
        # n is 1 when it is left out, and C is 0.5.
        waits.slot, waits.parameters = planned[4].slot, {"C": 0.5, **planned[4].parameters}
        session.add(waits)
    found = plan(platform, job, **asked, reprocess=reprocess)
    assert [one.position for one in found if one.state is SlotState.waiting] == again
    assert [one.earlier_state and one.earlier_state.value for one in found] == [
        "succeeded",
        "failed",
        "lost",
        None,
        "queued",
    ]
    backfill = ask(platform, job, **asked, reprocess=reprocess, concurrency=9)
    before = count(platform.context)
    BackfillDuty(platform.context).tick()
    assert count(platform.context) == before + len(again)
    assert get(platform, backfill).counts.get(SlotState.skipped, 0) == 5 - len(again)


def test_one_whose_slots_all_ran_before_is_over_at_once(platform: Platform, job: Job) -> None:
    first = ask(platform, job, slots=JANUARY, concurrency=10)
    BackfillDuty(platform.context).tick()
    end(platform.context)
    again = ask(platform, job, slots=JANUARY)
    assert (again.state, again.counts) == (BackfillState.ended, {SlotState.skipped: 10})
    assert "reprocess failed or all" in (again.reason or "")
    assert again.reason
    assert runs(platform, again)[0].earlier_run_id == runs(platform, first)[0].run_id


def test_what_was_cancelled_before_it_began_has_not_run(platform: Platform, job: Job) -> None:
    first = ask(platform, job, slots=JANUARY, concurrency=2)
    BackfillDuty(platform.context).tick()
    end(platform.context, only=1)
    service(platform).cancel(ADA, first.id or "")
    again = ask(platform, job, slots=JANUARY)
    assert again.counts == {SlotState.skipped: 1, SlotState.waiting: 9}
    values = Range(parameter="n", values=[1])
    assert ask(platform, job, range=values, dry_run=True).counts == {SlotState.skipped: 1}


def test_a_slot_that_was_run_meanwhile_is_not_run_again(platform: Platform, job: Job) -> None:
    """Beside a live schedule, and beside another backfill of the same slots."""
    week = over(start="2026-01-01", end="2026-01-08", every="day")
    first, second = (ask(platform, job, slots=week, concurrency=4) for _ in range(2))
    slot = runs(platform, first)[2].slot
    with platform.context.database.session() as session:
        row = RunRow(job_id=job.id, version=1, owner="ada", requested_by="ada", slot=slot)
        row.trigger, row.state, row.key = "schedule", "failed", "slot:2026-01-03"
        session.add(row)
    duty = BackfillDuty(platform.context)
    while not all(get(platform, one).state.terminal for one in (first, second)):
        duty.tick()
        end(platform.context)
    counts = [get(platform, one).counts for one in (first, second)]
    assert [sum(one.values()) for one in counts] == [7, 7]
    assert sum(one.get(SlotState.succeeded, 0) for one in counts) == 6
    assert count(platform.context) == 1 + 6
    skipped = runs(platform, first)[2]
    assert (skipped.state, skipped.earlier_run_id) == (SlotState.skipped, row.id)


def test_slots_that_the_schedule_will_run_are_left_to_it(platform: Platform) -> None:
    schedule = Schedule(cron="0 6 * * *", timezone="UTC")
    job = platform.promote(DAILY, schedule=schedule)
    soon = utcnow().replace(second=0, microsecond=0) + timedelta(days=3)
    ahead = {"start": (soon - timedelta(days=5)).isoformat(), "end": soon.isoformat()}
    with pytest.raises(Invalid, match="The job's schedule runs them") as told:
        ask(platform, job, slots=over(**ahead))
    assert told.value.field == "slots.end"
    assert ask(platform, job, slots=over(**ahead, every="day"), dry_run=True).total == 5


def test_cancelling_it_ends_what_waits_and_makes_no_more(platform: Platform, job: Job) -> None:
    backfill = ask(platform, job, slots=JANUARY, concurrency=3)
    duty = BackfillDuty(platform.context)
    duty.tick()
    end(platform.context, only=1)
    with platform.context.database.session() as session:
        row = session.scalars(select(RunRow).where(RunRow.state == "queued").limit(1)).one()
        row.state = "running"
    told = service(platform).cancel(ADA, backfill.id or "")
    assert told.state is BackfillState.cancelled
    assert told.counts == {
        SlotState.succeeded: 1,
        SlotState.cancelled: 1,
        SlotState.running: 1,
        SlotState.unmade: 7,
    }
    with platform.context.database.reading() as session:
        assert session.get_one(RunRow, row.id).cancel_requested
    duty.tick()
    assert count(platform.context) == 3
    assert service(platform).cancel(ADA, backfill.id or "").ended_at == told.ended_at


def test_deleting_the_job_ends_it(platform: Platform, job: Job) -> None:
    ask(platform, job, slots=JANUARY, concurrency=3)
    duty = BackfillDuty(platform.context)
    duty.tick()
    platform.jobs.delete(ADA, job.id)
    duty.tick()
    with platform.context.database.reading() as session:
        assert set(session.scalars(select(RunRow.state))) == {"cancelled"}
        assert session.scalars(select(BackfillRow.state)).all() == ["cancelled"]
    assert count(platform.context) == 3


def test_only_who_may_run_the_job_may_backfill_it(platform: Platform) -> None:
    job = platform.promote(DAILY, visibility="group", group="research")
    with pytest.raises(Refused):
        ask(platform, job, slots=JANUARY, by=BOB)
    with pytest.raises(Refused):
        ask(platform, job, slots=JANUARY, by=BOB, dry_run=True)
    backfill = ask(platform, job, slots=JANUARY)
    assert service(platform).get(BOB, backfill.id or "").total == 10
    with pytest.raises(Refused):
        service(platform).cancel(BOB, backfill.id or "")
    for action in (service(platform).get, service(platform).cancel):
        with pytest.raises(NotFound, match="backfill"):
            action(GRACE, backfill.id or "")


def test_sent_twice_with_one_key_it_is_one(platform: Platform, job: Job) -> None:
    first = ask(platform, job, slots=JANUARY, key="k")
    assert ask(platform, job, slots=JANUARY, key="k").id == first.id
    with pytest.raises(Conflict):
        ask(platform, job, slots=JANUARY, key="k", reverse=True)
    with platform.context.database.reading() as session:
        verbs = session.scalars(select(AuditRow.verb).where(AuditRow.object == first.id)).all()
    assert verbs == ["backfill.create"]


def test_without_quota_it_waits_and_says_so(platform: Platform) -> None:
    job = platform.promote(DAILY, visibility="group", group="research")
    backfill = ask(platform, job, slots=JANUARY)
    platform.context.settings.usage.quotas["research"] = QuotaSettings(hours=0)
    BackfillDuty(platform.context).tick()
    told = get(platform, backfill)
    assert count(platform.context) == 0
    assert (told.state, told.counts) == (BackfillState.running, {SlotState.waiting: 10})
    assert "Waiting" in (told.reason or "")
    platform.context.settings.usage.quotas.clear()
    BackfillDuty(platform.context).tick()
    assert get(platform, backfill).reason is None
    assert count(platform.context) == 2


def test_its_notebooks_get_their_slot(platform: Platform, job: Job) -> None:
    two = over(start="2026-01-01", end="2026-01-03", every="day")
    bind = {"day": "date", "at": "%d.%m."}
    backfill = ask(platform, job, slots=two, bind=bind, parameters={"C": 2})
    BackfillDuty(platform.context).tick()
    made = runs(platform, backfill)
    platform.tick_until(
        lambda: all(platform.runs.get(ADA, one.run_id or "").state.terminal for one in made)
    )
    for one, day in zip(made, ("01", "02"), strict=True):
        log = platform.log(platform.runs.get(ADA, one.run_id or ""))
        assert f"day 2026-01-{day} C 2.0 at {day}.01." in log
    BackfillDuty(platform.context).tick()
    assert get(platform, backfill).state is BackfillState.ended

"""Slots come due once, also where clocks change, and what is no schedule is refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from perijove.types.jobs import JobUpdate, Schedule
from perijove_hub.exceptions import Invalid
from perijove_hub.jobs import slots as clock
from perijove_hub.jobs.schedule import check, next_slot, slots
from perijove_hub.jobs.scheduler import Scheduler
from perijove_hub.store.models import AuditRow, RunRow, ScheduleRow
from tests.jobs.conftest import ADA, Platform
from tests.jobs.notebooks import code, notebook

NEW_YORK = ZoneInfo("America/New_York")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def walked(cron: str, zone: str, start: str, *, hours: int) -> list[str]:
    first = at(start)
    found = []
    for slot in slots(cron, zone, first):
        if slot > first + timedelta(hours=hours):
            return found
        found.append(slot.astimezone(ZoneInfo(zone)).strftime("%d %H:%M%z"))
    return found


def test_a_fixed_time_runs_once_where_the_clock_jumps_over_it() -> None:
    found = walked("30 2 * * *", "America/New_York", "2026-03-07T12:00-05:00", hours=48)
    assert found == ["08 03:00-0400", "09 02:30-0400"]


def test_a_fixed_time_runs_once_where_the_clock_repeats_it() -> None:
    found = walked("30 1 * * *", "America/New_York", "2026-10-31T12:00-04:00", hours=48)
    assert found == ["01 01:30-0400", "02 01:30-0500"]


def test_a_fixed_time_that_was_served_does_not_come_again_in_the_repeated_hour() -> None:
    served = at("2026-11-01T01:30-04:00")
    assert next_slot("30 1 * * *", "America/New_York", served) == at("2026-11-02T01:30-05:00")
    again = at("2026-11-01T01:10-05:00")
    assert next_slot("30 1 * * *", "America/New_York", again) == at("2026-11-02T01:30-05:00")


def test_every_hour_means_every_real_hour_where_the_clock_repeats_one() -> None:
    found = walked("30 * * * *", "America/New_York", "2026-11-01T00:00-04:00", hours=4)
    assert found == ["01 00:30-0400", "01 01:30-0400", "01 01:30-0500", "01 02:30-0500"]


@pytest.mark.parametrize(
    ("cron", "zone", "start", "expected"),
    [
        # Cases that other schedulers get wrong: a midnight and half an hour that do not exist.
        ("0 0 * * *", "Asia/Beirut", "2026-03-28T12:00+02:00", ["29 01:00+0300", "30 00:00+0300"]),
        (
            "15 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-03T12:00+10:30",
            ["04 02:30+1100", "05 02:15+1100"],
        ),
        # Monday is 1, and a day of the month or of the week is enough.
        ("0 0 * * 1-2", "UTC", "2026-11-21T00:00+00:00", ["23 00:00+0000"]),
        ("0 0 22 * 1", "UTC", "2026-11-21T00:00+00:00", ["22 00:00+0000", "23 00:00+0000"]),
    ],
)
def test_what_other_schedulers_get_wrong(
    cron: str, zone: str, start: str, expected: list[str]
) -> None:
    assert walked(cron, zone, start, hours=48) == expected


def test_quarters_of_hours_follow_real_time_where_the_clock_repeats_an_hour() -> None:
    found = walked("*/15 1-3 * * *", "Europe/Berlin", "2026-10-24T23:59+02:00", hours=5)
    assert len(found) == len(set(found)) == 16
    assert [slot for slot in found if " 02:30" in slot] == ["25 02:30+0200", "25 02:30+0100"]


@settings(max_examples=200, deadline=None)
@given(
    cron=st.sampled_from(["30 2 * * *", "0 0 * * *", "*/15 1-3 * * *", "5 * * * *", "0 4 * * 1"]),
    zone=st.sampled_from(
        ["America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Beirut", "UTC"]
    ),
    minutes=st.integers(0, 330 * 24 * 60),
)
def test_slots_only_ever_go_forward(cron: str, zone: str, minutes: int) -> None:
    after = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    found = []
    for slot in slots(cron, zone, after):
        found.append(slot)
        if len(found) == 20:
            break
    assert all(earlier < later for earlier, later in zip([after, *found], found, strict=False))


def test_the_latest_missed_slot_is_found_and_the_others_counted() -> None:
    first = at("2026-05-01T06:00+00:00")
    now = at("2026-05-04T05:59+00:00")
    of = partial(slots, "0 6 * * *", "UTC")
    latest = clock.latest(of, first=first, now=now)
    assert latest == at("2026-05-03T06:00+00:00")
    assert clock.count(of, first=first, before=latest) == 2
    assert clock.latest(of, first=first, now=first) == first
    assert clock.count(of, first=first, before=first) == 0


def test_a_year_of_missed_minutes_is_not_walked_through() -> None:
    first = at("2025-05-01T00:00+00:00")
    now = at("2026-05-01T00:00:30+00:00")
    of = partial(slots, "* * * * *", "UTC")
    latest = clock.latest(of, first=first, now=now)
    assert latest == at("2026-05-01T00:00+00:00")
    assert clock.count(of, first=first, before=latest) == 1000


def test_an_interval_is_counted_from_its_anchor_and_never_drifts() -> None:
    anchor = at("2026-03-28T12:00:07+00:00")

    def of(after: datetime) -> Iterator[datetime]:
        return clock.every(anchor, 90, after)

    for late in (0, 1, 44, 89):
        after = anchor + timedelta(seconds=90 * 1000 + late)
        assert next(of(after)) == anchor + timedelta(seconds=90 * 1001)
    assert next(of(anchor - timedelta(days=1))) == anchor + timedelta(seconds=90)
    year = anchor + timedelta(days=365, seconds=30)
    latest = clock.latest(of, first=next(of(anchor)), now=year)
    assert (latest - anchor) % timedelta(seconds=90) == timedelta()
    assert timedelta() <= year - latest < timedelta(seconds=90)


@pytest.mark.parametrize(
    ("cron", "zone", "field"),
    [
        ("0 6 * *", "UTC", "schedule.cron"),
        ("0 0 6 * * *", "UTC", "schedule.cron"),
        ("@daily", "UTC", "schedule.cron"),
        ("61 6 * * *", "UTC", "schedule.cron"),
        ("0 0 30 2 *", "UTC", "schedule.cron"),
        ("*/90 * * * *", "UTC", "schedule.cron"),
        ("0 */36 * * *", "UTC", "schedule.cron"),
        ("5/60 * * * *", "UTC", "schedule.cron"),
        ("0 0 29 2 1#5", "UTC", None),
        ("0 6 * * *", "Mars/Olympus", "schedule.timezone"),
        ("0 6 * * *", "../etc/passwd", "schedule.timezone"),
        ("0 6 * * *", "America", "schedule.timezone"),
        ("0 6 * * *", "", "schedule.timezone"),
    ],
)
def test_what_is_no_schedule_is_refused(cron: str, zone: str, field: str | None) -> None:
    if field is None:
        check(cron, zone)
        return
    with pytest.raises(Invalid) as caught:
        check(cron, zone)
    assert caught.value.field == field
    said = caught.value.detail
    assert cron in said or zone in said or any(f"'{one}'" in said for one in cron.split())
    assert caught.value.fix


@pytest.mark.parametrize(
    ("zone", "fix"),
    [
        ("Europe/Berln", "Did you mean Europe/Berlin?"),
        ("europe/berlin", "Did you mean Europe/Berlin?"),
        ("Berlin", "Did you mean Europe/Berlin?"),
        ("New York", "Did you mean America/New_York?"),
        ("Mars/Olympus", "Use an IANA name, such as Europe/Berlin or UTC."),
        # Hours away from the name that is most like it.
        ("CEST", "Use an IANA name, such as Europe/Berlin or UTC."),
        ("UTC+2", "Use an IANA name, such as Europe/Berlin or UTC."),
        ("gmt", "Did you mean GMT?"),
        ("oslo", "Did you mean Europe/Oslo?"),
    ],
)
def test_an_unknown_zone_is_refused_with_the_nearest_one(zone: str, fix: str) -> None:
    with pytest.raises(Invalid) as caught:
        check("0 6 * * *", zone)
    assert caught.value.fix == fix


def test_six_fields_are_refused_with_the_five_that_are_meant() -> None:
    with pytest.raises(Invalid) as caught:
        check("0 30 6 * * 1-5", "UTC")
    assert caught.value.detail == "A cron expression has five fields, '0 30 6 * * 1-5' has 6."
    assert caught.value.fix == "Leave out the seconds: '30 6 * * 1-5'."


@pytest.mark.parametrize(
    ("cron", "detail", "fix"),
    [
        ("0 0 31 4,6 *", "'0 0 31 4,6 *' never comes due.", "Choose a day that its months have."),
        ("0 0 32 4 *", "'0 0 32 4 *' is no cron expression: bad day-of-month.", "Write minute"),
        ("0 0 1 13 *", "'0 0 1 13 *' is no cron expression: bad month.", "Write minute"),
        ("0 0 1 JANU *", "'0 0 1 JANU *' is no cron expression: bad month.", "Write minute"),
        ("@weekly", "A cron expression has five fields, '@weekly' has 1.", "Write '0 0 * * 0'."),
        ("0 0 6 ? * 1", "A cron expression has five fields", "Leave out the seconds: '0 6 * * 1'."),
        (
            "*/90 * * * *",
            "does not mean every 90 minutes.",
            "Give an interval instead: --every 90m.",
        ),
    ],
)
def test_it_is_said_what_is_wrong_with_an_expression(cron: str, detail: str, fix: str) -> None:
    with pytest.raises(Invalid) as caught:
        check(cron, "UTC")
    assert detail in caught.value.detail
    assert fix in (caught.value.fix or "")


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (Schedule(), "schedule"),
        (Schedule(cron="0 6 * * *", every_s=60), "schedule.every_s"),
        (Schedule(every_s=60, after=["x"]), "schedule.after"),
        (Schedule(cron="0 6 * * *", dataset="a.b.c"), "schedule.dataset"),
        (Schedule(every_s=60, timezone="Mars"), "schedule.timezone"),
        (Schedule(after=["nobodys"]), "schedule.after.0"),
        (Schedule(dataset="a.b.c"), "schedule.dataset"),
        (Schedule(cron="0 6 * * *", version=7), "schedule.version"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused_and_nothing_is_kept(
    platform: Platform, wanted: Schedule, field: str
) -> None:
    with pytest.raises(Invalid) as caught:
        platform.promote(schedule=wanted)
    assert caught.value.field == field
    assert caught.value.detail and caught.value.fix
    with platform.context.database.reading() as session:
        assert session.scalars(select(ScheduleRow)).all() == []


#: Has no slot of its own between the past one a test makes due and now.
SELDOM = "0 0 29 2 *"


def make_due(platform: Platform, job_id: str, ago: timedelta) -> datetime:
    """Move a schedule's next slot into the past, on the minute."""
    with platform.context.database.session() as session:
        row = session.get_one(ScheduleRow, job_id)
        due = (datetime.now(UTC) - ago).replace(second=0, microsecond=0)
        row.next_slot = due
    return due


def runs_of(platform: Platform) -> list[RunRow]:
    with platform.context.database.reading() as session:
        return list(session.scalars(select(RunRow).order_by(RunRow.slot)))


def test_a_due_slot_becomes_one_run_with_the_schedules_parameters(platform: Platform) -> None:
    wanted = Schedule(cron=SELDOM, parameters={"C": 2})
    job = platform.promote(schedule=wanted)
    assert job.schedule and job.schedule.next_slot
    due = make_due(platform, job.id, timedelta(seconds=30))
    for _ in range(3):
        Scheduler(platform.context).step()
    found = [run for run in runs_of(platform) if run.slot == due]
    assert len(found) == 1
    assert (found[0].trigger, found[0].requested_by, found[0].parameters) == (
        "schedule",
        "ada",
        {"C": 2.0},
    )
    after = platform.jobs.get(ADA, job.id).schedule
    assert after and after.next_slot and after.next_slot > due


def test_missed_slots_are_caught_up_by_the_latest_alone_and_told_of(platform: Platform) -> None:
    job = platform.promote(schedule=Schedule(cron="* * * * *"))
    make_due(platform, job.id, timedelta(minutes=10))
    Scheduler(platform.context).step()
    assert len(runs_of(platform)) == 1
    with platform.context.database.reading() as session:
        entry = session.scalars(select(AuditRow).where(AuditRow.verb == "schedule.skip")).one()
    assert entry.detail["skipped"] in (9, 10)


def test_a_slot_that_was_served_before_is_not_served_again(platform: Platform) -> None:
    job = platform.promote(schedule=Schedule(cron=SELDOM))
    due = make_due(platform, job.id, timedelta(seconds=30))
    Scheduler(platform.context).step()
    with platform.context.database.session() as session:
        session.get_one(ScheduleRow, job.id).next_slot = due
    Scheduler(platform.context).step()
    assert len([run for run in runs_of(platform) if run.slot == due]) == 1
    after = platform.jobs.get(ADA, job.id).schedule
    assert after and after.next_slot and after.next_slot > due


def test_a_paused_schedule_is_never_due(platform: Platform) -> None:
    job = platform.promote(schedule=Schedule(cron="* * * * *"))
    paused = Schedule(cron="* * * * *", paused=True)
    job = platform.jobs.update(ADA, job.id, JobUpdate(schedule=paused))
    assert job.schedule and job.schedule.next_slot is None
    Scheduler(platform.context).step()
    assert runs_of(platform) == []


def test_an_unscheduled_job_runs_no_more(platform: Platform) -> None:
    job = platform.promote(schedule=Schedule(cron="* * * * *"))
    make_due(platform, job.id, timedelta(minutes=1))
    assert platform.jobs.update(ADA, job.id, JobUpdate(unschedule=True)).schedule is None
    Scheduler(platform.context).step()
    assert runs_of(platform) == []


def test_a_schedule_whose_parameters_do_not_fit_is_refused_at_promotion(
    platform: Platform,
) -> None:
    with pytest.raises(Invalid) as caught:
        platform.promote(schedule=Schedule(cron="0 6 * * *", parameters={"D": 1}))
    assert caught.value.field == "schedule.parameters.D"
    platform.promote(schedule=Schedule(cron="0 6 * * *", parameters={"C": 1}))
    with pytest.raises(Invalid) as caught:
        platform.promote(notebook(code("rows = 1", tags=["parameters"])))
    assert caught.value.field == "schedule.parameters.C"
    with platform.context.database.reading() as session:
        assert session.scalars(select(RunRow)).all() == []
    assert platform.promote().latest.version == 1

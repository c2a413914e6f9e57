"""The book: one open stretch of each thing, hours that only grow, and nothing counted twice."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from perijove_hub.settings import SizeSettings
from perijove_hub.store import Database
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import UsageRow
from perijove_hub.usage import ledger
from perijove_hub.usage.totals import stretches
from tests.jobs.test_postgres import at_once
from tests.usage.conftest import GPU, at, ran

SMALL = SizeSettings(price=0.5)


def begin(database: Database, **more: Any) -> str:
    values: dict[str, Any] = {"kind": "workspace", "object": "ada/", "user": "ada"}
    values |= {"group": "research", "image": "cpu@1", "digest": "sha256:1", "size": "small"}
    values |= {"settings_size": SMALL, **more}
    with database.session() as session:
        return ledger.begin(session, **values)


def rows(database: Database) -> list[UsageRow]:
    with database.reading() as session:
        return list(session.scalars(select(UsageRow).order_by(UsageRow.started_at, UsageRow.id)))


def now(database: Database) -> datetime:
    with database.reading() as session:
        return database_now(session)


def move(database: Database, *, back: timedelta) -> None:
    """Let time pass: the open stretches began, and were seen, so much earlier."""
    with database.session() as session:
        for row in session.scalars(select(UsageRow).where(UsageRow.ended_at.is_(None))):
            row.started_at -= back
            row.seen_at -= back


def test_who_begins_twice_has_one_stretch(database: Database) -> None:
    assert begin(database) == begin(database)
    assert len(rows(database)) == 1


def test_several_that_begin_at_once_have_one_stretch(database: Database) -> None:
    ids = at_once(*[lambda: begin(database) for _ in range(6)])
    assert len(set(ids)) == 1, ids
    assert len(rows(database)) == 1


def test_the_table_itself_refuses_a_second_open_stretch(database: Database) -> None:
    begin(database)
    with pytest.raises(IntegrityError), database.session() as session:
        session.add(UsageRow(kind="workspace", object="ada/", user="ada"))


def test_another_size_is_another_stretch_at_its_own_price(database: Database) -> None:
    begin(database)
    move(database, back=timedelta(minutes=1))
    begin(database, size="gpu", settings_size=GPU)
    one, two = rows(database)
    assert (one.price, one.gpus, one.ended_at) == (0.5, 0, one.seen_at)
    assert (two.price, two.gpus, two.ended_at) == (2.0, 1, None)


def test_a_price_that_changes_later_does_not_change_what_was_begun(database: Database) -> None:
    begin(database)
    begin(database, settings_size=SizeSettings(price=9))
    assert [row.price for row in rows(database)] == [0.5]


def test_after_a_crash_the_silence_is_not_charged(database: Database) -> None:
    begin(database)
    move(database, back=timedelta(hours=5))
    with database.session() as session:
        (row,) = session.scalars(select(UsageRow))
        row.seen_at += timedelta(hours=1)
    begin(database)
    one, two = rows(database)
    assert one.ended_at == one.seen_at == one.started_at + timedelta(hours=1)
    assert two.ended_at is None
    assert now(database) - two.started_at < timedelta(minutes=1)


def test_what_is_seen_counts_until_then_and_what_ended_no_longer(database: Database) -> None:
    begin(database)
    move(database, back=timedelta(hours=2))
    with database.session() as session:
        ledger.seen(session, "workspace", ["ada/", "nobody/"])
        ledger.seen(session, "kernel", ["ada/"])
        ledger.seen(session, "workspace", [])
    (row,) = rows(database)
    assert timedelta(hours=2) <= row.seen_at - row.started_at < timedelta(hours=2, minutes=1)
    with database.session() as session:
        ledger.end(session, "workspace", "ada/")
        ledger.end(session, "workspace", "ada/")
    (row,) = rows(database)
    ended = row.ended_at
    with database.session() as session:
        ledger.seen(session, "workspace", ["ada/"])
    assert rows(database)[0].ended_at == rows(database)[0].seen_at == ended


def test_one_found_late_counts_from_its_start_but_not_what_was_counted(database: Database) -> None:
    end = now(database) - timedelta(hours=1)
    ran(database, end - timedelta(hours=2), end)
    begin(database, since=end - timedelta(minutes=30))
    one, two = rows(database)
    assert two.started_at == one.ended_at == end


def test_a_start_in_the_future_is_now(database: Database) -> None:
    begin(database, since=now(database) + timedelta(days=1))
    (row,) = rows(database)
    assert row.started_at <= now(database)


def test_a_clock_that_is_set_back_takes_nothing_away(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(database)
    before = rows(database)[0]
    monkeypatch.setattr(
        ledger, "database_now", lambda session: database_now(session) - timedelta(hours=1)
    )
    with database.session() as session:
        ledger.seen(session, "workspace", ["ada/"])
    assert rows(database)[0].seen_at == before.seen_at
    with database.session() as session:
        ledger.end(session, "workspace", "ada/")
    row = rows(database)[0]
    assert row.ended_at is not None
    assert row.ended_at >= row.started_at
    begin(database)
    assert rows(database)[1].started_at >= row.ended_at


def test_a_stretch_across_midnight_is_cut_there(database: Database) -> None:
    ran(database, at("2026-11-20 22:00"), at("2026-11-22 03:00"), gpus=2, price=1.5)
    with database.reading() as session:
        (one,) = stretches(session, at("2026-11-20 00:00"), at("2026-11-23 00:00"))
    days = dict(one.days(at("2026-11-20 00:00"), at("2026-11-23 00:00")))
    assert {day: amount.hours for day, amount in days.items()} == {
        "2026-11-20": 2,
        "2026-11-21": 24,
        "2026-11-22": 3,
    }
    assert days["2026-11-21"].gpu_hours == 48
    assert days["2026-11-22"].cost == 4.5


def test_a_span_cuts_what_reaches_out_of_it(database: Database) -> None:
    ran(database, at("2026-11-20 22:00"), at("2026-11-21 02:00"))
    with database.reading() as session:
        start, end = at("2026-11-20 23:30"), at("2026-11-21 01:00")
        (one,) = stretches(session, start, end)
        assert one.within(start, end).hours == 1.5
        assert [day for day, _ in one.days(start, end)] == ["2026-11-20", "2026-11-21"]
        assert not stretches(session, at("2026-11-21 02:00"), at("2026-11-22 00:00"))

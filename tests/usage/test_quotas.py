"""Quotas: the rolling window, the words, and when it falls below again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from perijove_hub.settings import Settings
from perijove_hub.store import Database
from perijove_hub.store.clock import database_now
from perijove_hub.usage import quotas
from tests.usage.conftest import SETTINGS, ran


def check(database: Database, size: str = "small", group: str | None = "research") -> str | None:
    with database.reading() as session:
        return quotas.check(session, SETTINGS, user="ada", group=group, size=size)


def used(database: Database, hours: float, *, days_ago: float = 0, **more: float) -> None:
    """Let something have ended so many days ago after so many hours."""
    with database.reading() as session:
        end = database_now(session) - timedelta(days=days_ago)
    ran(database, end - timedelta(hours=hours), end, **more)


def test_below_its_quota_a_group_starts_what_it_likes(database: Database) -> None:
    used(database, 99)
    assert check(database) is None
    assert check(database, "gpu") is None


def test_over_its_hours_nothing_starts_and_the_words_say_how_much(database: Database) -> None:
    used(database, 60, price=0.0)
    used(database, 40.5, price=0.0)
    said = check(database)
    assert said is not None
    assert said.startswith("Group 'research' has used 100.5 of its 100 hours in 30 days.")
    assert "below the limit again on" in said


def test_without_its_gpu_hours_a_group_still_starts_what_has_no_gpu(database: Database) -> None:
    used(database, 6, gpus=2.0)
    said = check(database, "gpu")
    assert said is not None
    assert "12 of its 10 GPU-hours" in said
    assert check(database, "small") is None


def test_a_cost_stops_what_costs(database: Database) -> None:
    used(database, 26, price=2.0)
    said = check(database)
    assert said is not None
    assert "52 of its 50 EUR" in said


def test_others_may_use_anything(database: Database) -> None:
    used(database, 500)
    assert check(database, group="risk") is None
    assert check(database, group=None) is None


def test_what_left_the_window_counts_no_longer(database: Database) -> None:
    used(database, 200, days_ago=31)
    assert check(database) is None
    # Of this one, the half that is within.
    used(database, 40, days_ago=30 - 20 / 24, price=0.0)
    with database.reading() as session:
        (hours, *_) = quotas.standings(session, SETTINGS, "research")
    assert hours.used == pytest.approx(20, abs=0.01)


def test_it_falls_below_when_enough_has_left_the_window(database: Database) -> None:
    # 72 hours that ended 10 days ago and 48 that ended now: 20 too many.
    used(database, 72, days_ago=10, price=0.0)
    used(database, 48, price=0.0)
    with database.reading() as session:
        now = database_now(session)
        (hours, *_) = quotas.standings(session, SETTINGS, "research")
    assert hours.used == pytest.approx(120, abs=0.01)
    assert hours.below_at is not None
    # The window's edge has to pass the first 20 of the 72 hours, which began 13 days ago.
    expected = now - timedelta(days=13) + timedelta(hours=20) + timedelta(days=30)
    assert abs(hours.below_at - expected) < timedelta(minutes=1)


def test_a_limit_of_nothing_lets_nothing_start(database: Database) -> None:
    settings = Settings.model_validate({"usage": {"quotas": {"risk": {"gpu_hours": 0}}}})
    settings.workspaces.sizes["gpu"] = SETTINGS.workspaces.sizes["gpu"]
    with database.reading() as session:
        said = quotas.check(session, settings, user="g", group="risk", size="gpu")
        assert said == (
            "Group 'risk' has used 0 of its 0 GPU-hours in 30 days. An administrator can raise "
            "the limit."
        )
        assert quotas.check(session, settings, user="g", group="risk", size="small") is None


def test_a_size_that_is_gone_counts_as_one_without_gpus(database: Database) -> None:
    used(database, 20, gpus=1.0)
    assert check(database, "no-longer-there") is None

"""Who has left the Hub runs nothing more; who is there runs with today's groups."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from perijove.types.base import Visibility
from perijove.types.jobs import RunAgain, RunState
from perijove_hub.context import Context
from perijove_hub.jobs.compare import compare
from perijove_hub.store.models import PrincipalRow, RunRow
from tests.fixtures.hub import Hub
from tests.jobs.conftest import ADA, BOB, Platform, a_topology, someone


@pytest.fixture
def with_hub(platform: Platform, hub: Hub, context: Context) -> Platform:
    """Jobs beside the real Hub."""
    shutil.copytree(hub.data.secrets, context.data.secrets, dirs_exist_ok=True)
    context.__dict__["topology"] = replace(a_topology(), hub_api_url=hub.api_url)
    return platform


def test_a_user_who_has_left_runs_nothing(with_hub: Platform) -> None:
    mallory = someone("mallory", "research")
    run = with_hub.finished(with_hub.run(with_hub.promote(by=mallory), by=mallory))
    assert run.state is RunState.failed
    assert run.reason and run.reason.startswith("mallory is no longer a user of the Hub.")
    assert run.started_at is None


def test_a_run_has_the_groups_its_owner_is_in_now(with_hub: Platform) -> None:
    with with_hub.context.database.session() as session:
        session.add(PrincipalRow(name="ada", groups=["risk"]))
    run = with_hub.finished(with_hub.run(with_hub.promote()))
    assert run.state is RunState.succeeded
    with with_hub.context.database.reading() as session:
        assert session.get_one(PrincipalRow, "ada").groups == ["research"]


def test_a_hub_that_is_down_stops_no_run(platform: Platform) -> None:
    run = platform.finished(platform.run(platform.promote()))
    assert run.state is RunState.succeeded


def test_what_a_run_followed_is_told_to_nobody_who_may_not_see_it(platform: Platform) -> None:
    salaries = platform.run(platform.promote(name="salaries", by=BOB), by=BOB)
    report = platform.promote(name="report", visibility=Visibility.everyone)
    run, other = platform.run(report), platform.run(report)
    with platform.context.database.session() as session:
        for one in (run, other):
            session.get_one(RunRow, one.id).upstream = {"salaries": salaries.id}
    stranger = someone("grace", "risk")
    for reader, upstream in ((BOB, {"salaries": salaries.id}), (stranger, {}), (ADA, {})):
        both = compare(platform.context, reader, run.id, other.id)
        last = platform.jobs.get(reader, report.id).last_run
        told = [
            platform.runs.get(reader, run.id),
            *platform.runs.list(reader, report.id, state=None, cursor=None, limit=5).items,
            last,
            both.one,
            both.other,
        ]
        assert [one.upstream for one in told if one] == [upstream] * 6
    assert platform.runs.cancel(ADA, run.id).upstream == {}
    assert platform.runs.again(ADA, other.id, RunAgain(), key=None).upstream == {}

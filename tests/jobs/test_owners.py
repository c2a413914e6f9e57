"""Who has left the Hub runs nothing more; who is there runs with today's groups."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from perijove.types.jobs import RunState
from perijove_hub.context import Context
from perijove_hub.store.models import PrincipalRow
from tests.fixtures.hub import Hub
from tests.jobs.conftest import Platform, a_topology, someone


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

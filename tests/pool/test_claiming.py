"""A waiting container goes to one user, however many want it at the same moment."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest
from sqlalchemy import select

from perijove_hub.context import Context
from perijove_hub.engine.sandbox import HOME, Mount
from perijove_hub.pool import claim, claiming
from perijove_hub.pool.recipe import recipe
from perijove_hub.store.models import WarmRow
from tests.fixtures.processes import free_port
from tests.gpus.conftest import database, postgres_url  # noqa: F401 - fixtures
from tests.jobs.test_postgres import at_once

DIGEST = "sha256:" + "a" * 64


def waiting(context: Context, count: int, *, key: str | None = None) -> None:
    """Pretend that containers wait."""
    made = recipe(context, digest=DIGEST, size="small")
    with context.database.session() as session:
        session.add_all(
            WarmRow(
                container=f"{key or 'container'}-{at}",
                digest=DIGEST,
                size="small",
                recipe=key or made.key,
                slot=f"slot-{at}",
                state="ready",
            )
            for at in range(count)
        )


def take(context: Context, holder: str, **different: Any) -> WarmRow | None:
    wanted = {"digest": DIGEST, "size": "small", "groups": (), **different}
    return claiming._take(context, holder=holder, **wanted)


@pytest.fixture
def on_each_database(context: Context, database: Any) -> Context:  # noqa: F811
    """A context on SQLite, then on PostgreSQL."""
    context.database.close()
    context.database = database
    return context


def test_of_many_who_want_a_few_each_one_goes_to_one(on_each_database: Context) -> None:
    context = on_each_database
    waiting(context, 5)
    taken = at_once(*[lambda at=at: take(context, f"user{at}/") for at in range(12)])
    got = Counter(row.container for row in taken if row is not None)
    assert len(got) == 5
    assert set(got.values()) == {1}
    with context.database.reading() as session:
        rows = session.scalars(select(WarmRow)).all()
    assert all(row.state == "claimed" and row.claimed_at for row in rows)
    assert len({row.claimed_by for row in rows}) == 5


def test_only_what_is_made_as_wanted_is_taken(context: Context) -> None:
    waiting(context, 1)
    waiting(context, 1, key="made-before-the-settings-changed")
    assert take(context, "ada/", digest="sha256:" + "b" * 64) is None
    assert take(context, "ada/", size="medium") is None
    # A group that no shared folder has: the process could not join it any more.
    assert take(context, "ada/", groups=(30_000,)) is None
    first = take(context, "ada/")
    assert first is not None
    assert first.container == "container-0"
    assert take(context, "grace/") is None


def test_nothing_leads_back_from_a_claim(context: Context) -> None:
    waiting(context, 1)
    assert take(context, "ada/") is not None
    assert take(context, "ada/") is None
    assert take(context, "grace/") is None


def claim_one(context: Context, **different: Any) -> Any:
    wanted: dict[str, Any] = {
        "digest": DIGEST,
        "size": "small",
        "user": "ada",
        "server": "",
        "environment": {},
        "command": ["python", "-m", "perijove.singleuser"],
        "mounts": [Mount("/somewhere", HOME)],
        "name": "w",
    }
    return claim(context, **{**wanted, **different})


@pytest.mark.parametrize(
    "different",
    [
        {"command": ["code-server"]},
        {"environment": {"PYTHONPATH": "/somewhere"}},
        {"environment": {"JUPYTERHUB_SINGLEUSER_APP": "notebook"}},
        {"command": ["python", "-m", "http.server"]},
        {"mounts": [Mount("a-volume", HOME)]},
        {"mounts": [Mount("/somewhere", "/etc")]},
        {"mounts": [Mount("/somewhere", HOME), Mount("/somewhere", "/shared/..")]},
    ],
)
def test_what_a_waiting_container_cannot_become_starts_cold(
    context: Context, different: dict[str, Any]
) -> None:
    context.settings.workspaces.warm.count = 1
    waiting(context, 1)
    assert claim_one(context, **different) is None
    # Nobody was taken for it.
    assert take(context, "grace/") is not None


def test_where_nothing_waits_the_answer_comes_at_once(context: Context) -> None:
    context.settings.workspaces.warm.count = 1
    claim_one(context)
    began = time.monotonic()
    assert claim_one(context) is None
    assert time.monotonic() - began < 0.05


def test_without_an_engine_a_start_is_cold(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{free_port()}")
    context.settings.workspaces.warm.count = 1
    waiting(context, 1)
    assert claim_one(context) is None
    assert take(context, "grace/") is None

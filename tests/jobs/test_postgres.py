"""Jobs on PostgreSQL: several schedulers and writers at once, each slot and key still once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from perijove.types.jobs import JobCreate, RunState, Schedule
from perijove.types.secrets import SecretCreate
from perijove_hub.context import Context
from perijove_hub.jobs.history import History
from perijove_hub.jobs.retention import RetentionDuty
from perijove_hub.jobs.scheduler import Scheduler
from perijove_hub.jobs.service import JobSort
from perijove_hub.paths import DataDir
from perijove_hub.secrets.service import SecretService
from perijove_hub.settings import Settings, StoreSettings
from perijove_hub.store.migrate import upgrade
from perijove_hub.store.models import JobVersionRow, RunRow, ScheduleRow
from tests.fixtures.postgres import postgres
from tests.jobs import test_editing as editing
from tests.jobs.conftest import ADA, TUTORIAL, Platform, a_topology
from tests.jobs.test_promote import kept


@pytest.fixture
def on_postgres(tmp_path: Path) -> Iterator[Platform]:
    with postgres() as url:
        database = url.replace("postgresql://", "postgresql+psycopg://")
        settings = Settings(store=StoreSettings(database=database))
        context = Context(settings, DataDir.open(tmp_path / "data"))
        upgrade(context.database)
        a_topology().save(context.data.run / "topology.json")
        yield Platform(context)
        context.database.close()


def at_once(*actions: Any) -> list[Any]:
    """Do ``actions`` at the same moment; return what each gave or raised."""
    barrier, results = threading.Barrier(len(actions)), [None] * len(actions)

    def do(at: int) -> None:
        barrier.wait()
        try:
            results[at] = actions[at]()
        except Exception as error:
            results[at] = error

    threads = [threading.Thread(target=do, args=(at,)) for at in range(len(actions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_the_whole_way_works_and_what_comes_at_once_happens_once(on_postgres: Platform) -> None:
    platform = on_postgres
    body = JobCreate(name="tutorial", notebook=TUTORIAL, schedule=Schedule(cron="* * * * *"))
    jobs = at_once(*[lambda: platform.jobs.promote(ADA, body, key="one")[0] for _ in range(6)])
    assert len({job.id for job in jobs}) == 1
    job = jobs[0]
    with platform.context.database.session() as session:
        row = session.get_one(ScheduleRow, job.id)
        row.next_slot = job.created_at.replace(second=0, microsecond=0)
    scheduler = [Scheduler(platform.context) for _ in range(6)]
    at_once(*[one.step for one in scheduler])
    with platform.context.database.reading() as session:
        assert session.scalar(select(func.count()).select_from(JobVersionRow)) == 1
        slots = session.scalars(select(RunRow.slot)).all()
    assert len(slots) == len(set(slots)) >= 1
    run = platform.finished(platform.run(job, C=3))
    assert run.state is RunState.succeeded
    assert platform.log(run).count("C = 3.0") == 1
    names = platform.jobs.list(
        ADA, q="TUTOR", name=None, owner=None, state=None, sort=JobSort.name, cursor=None, limit=5
    )
    assert [one.name for one in names.items] == ["tutorial"]
    with platform.context.database.session() as session:
        session.get_one(RunRow, run.id).ended_at = job.created_at - timedelta(days=2)
    platform.context.settings.jobs.keep_days = 1
    at_once(*[RetentionDuty(platform.context).tick for _ in range(3)])
    assert platform.get(run).dropped_at
    assert not platform.get(run).has_output


def test_versions_and_secrets_that_come_at_once_are_all_kept(on_postgres: Platform) -> None:
    platform = on_postgres
    job = platform.promote(inputs=[kept("a.csv")])

    def promote(number: int) -> Any:
        return platform.promote(inputs=[kept("a.csv", b"%d" % number), kept("b.csv")])

    made = at_once(*[lambda number=number: promote(number) for number in range(4)])
    assert {one.id for one in made} == {job.id}
    history = History(platform.context)
    found = history.list(ADA, job.id, cursor=None, limit=9).items
    assert [one.version for one in found] == [5, 4, 3, 2, 1]
    assert len({one.digest for one in found}) == 5
    assert [len(one.inputs) for one in found] == [2, 2, 2, 2, 1]
    at_once(*[lambda: history.approve(ADA, job.id, 2) for _ in range(4)])
    assert history.diff(ADA, job.id, 1, 2).inputs
    service = SecretService(platform.context)
    body = SecretCreate(value="a value")
    names = at_once(*[lambda: service.put(ADA, "API_KEY", body).name for _ in range(4)])
    assert names == ["API_KEY"] * 4
    # Of two who set a schedule at the same moment, the later one's takes the other's place.
    at_once(
        *[
            lambda s=60 + n: editing.changed(platform, job, schedule={"every_s": s})
            for n in range(3)
        ]
    )
    editing.test_changes_at_the_same_moment_are_both_kept(platform)
    run = platform.run(job)
    platform.jobs.delete(ADA, job.id)
    with platform.context.database.reading() as session:
        assert session.get_one(RunRow, run.id).state == "cancelled"

"""Jobs on PostgreSQL: several schedulers and writers at once, each slot and key still once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from perijove.types.jobs import JobCreate, RunState, Schedule
from perijove_hub.context import Context
from perijove_hub.jobs.scheduler import Scheduler
from perijove_hub.jobs.service import JobSort
from perijove_hub.paths import DataDir
from perijove_hub.settings import Settings, StoreSettings
from perijove_hub.store.migrate import upgrade
from perijove_hub.store.models import JobVersionRow, RunRow, ScheduleRow
from tests.fixtures.postgres import postgres
from tests.jobs.conftest import ADA, TUTORIAL, Platform, a_topology


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

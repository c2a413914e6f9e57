"""The store on a real PostgreSQL: the same schema, and the same guarantees."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from perijove_hub.store import Database
from perijove_hub.store.migrate import MigrationError, upgrade
from perijove_hub.store.models import Base, JobRow, RunRow
from tests.fixtures.postgres import postgres


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with postgres() as url:
        yield url


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    database = Database(url)
    upgrade(database)
    yield database
    Base.metadata.drop_all(database.engine)
    with database.engine.begin() as connection:
        connection.exec_driver_sql("drop table alembic_version")
    database.close()


def test_the_migrations_make_exactly_what_the_classes_say(database: Database) -> None:
    with database.engine.begin() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_a_slot_is_served_once_and_manual_runs_are_not_slots(database: Database) -> None:
    with database.session() as session:
        session.add(JobRow(id="job", name="nightly", owner="ada"))
    run = {"job_id": "job", "version": 1, "owner": "ada", "requested_by": "ada"}
    with database.session() as session:
        session.add_all([RunRow(**run, key="slot:1"), RunRow(**run), RunRow(**run)])
    with pytest.raises(IntegrityError), database.session() as session:
        session.add(RunRow(**run, key="slot:1"))
    with database.reading() as session:
        keys = session.scalars(select(RunRow.key)).all()
    assert sorted(keys, key=str) == [None, None, "slot:1"]


def test_a_wrong_password_is_said_without_showing_the_url(url: str) -> None:
    database = Database(url.replace("hunter2", "letmein"))
    with pytest.raises(MigrationError) as refused:
        upgrade(database)
    database.close()
    assert "store.database" in str(refused.value)
    assert "letmein" not in str(refused.value)

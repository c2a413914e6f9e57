"""A database of either kind, and devices that no test machine has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from perijove_hub.store import Database
from perijove_hub.store.migrate import upgrade
from perijove_hub.store.models import Base, GpuRow
from tests.fixtures.postgres import postgres


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    with postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A migrated database; every test runs on both kinds."""
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path / 'store.sqlite'}")
    else:
        url: str = request.getfixturevalue("postgres_url")
        database = Database(url.replace("postgresql://", "postgresql+psycopg://"))
    upgrade(database)
    yield database
    if request.param == "postgresql":
        Base.metadata.drop_all(database.engine)
        with database.engine.begin() as connection:
            connection.exec_driver_sql("drop table alembic_version")
    database.close()


def install(database: Database, count: int, *, shares: int = 1) -> list[str]:
    """Pretend that the machine has so many devices; returns their ids."""
    ids = [f"GPU-{at:04}" for at in range(count)]
    with database.session() as session:
        session.add_all([GpuRow(id=one, model="Test", shares=shares) for one in ids])
    return ids

"""The schema: made by migrations, equal to the classes, never downgraded by accident."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from perijove_hub.store import Database
from perijove_hub.store.migrate import MigrationError, upgrade
from perijove_hub.store.models import Base


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'store.sqlite'}")
    yield database
    database.close()


def test_the_migrations_make_exactly_what_the_classes_say(database: Database) -> None:
    upgrade(database)
    with database.engine.begin() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, Base.metadata) == []


def test_upgrading_twice_changes_nothing(database: Database) -> None:
    upgrade(database)
    upgrade(database)


def test_a_database_of_a_newer_version_is_refused_and_left_alone(database: Database) -> None:
    upgrade(database)
    with database.engine.begin() as connection:
        connection.execute(text("update alembic_version set version_num = '9999'"))
    with pytest.raises(MigrationError, match="newer Perijove"):
        upgrade(database)
    with database.engine.begin() as connection:
        assert (
            connection.execute(text("select version_num from alembic_version")).scalar() == "9999"
        )


def test_a_database_that_cannot_be_reached_names_the_setting() -> None:
    database = Database("sqlite:////nonexistent/folder/store.sqlite")
    with pytest.raises(MigrationError, match=r"store\.database"):
        upgrade(database)
    database.close()

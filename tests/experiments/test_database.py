"""MLflow's database is checked, copied and migrated before anything is served."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from perijove_hub.context import Context, Topology
from perijove_hub.experiments import database
from perijove_hub.experiments.database import MlflowDatabaseError

#: MLflow 2.0's schema, an ancestor of today's.
OLDER = "cc1f77228345"


def at_revision(path: Path, revision: str) -> str:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        connection.execute("INSERT INTO alembic_version VALUES (?)", (revision,))
        connection.commit()
    return f"sqlite:///{path}"


def test_a_newer_database_is_refused_with_the_fix(tmp_path: Path) -> None:
    url = at_revision(tmp_path / "mlflow.sqlite", "ffffffffffff")
    with pytest.raises(MlflowDatabaseError, match=r"newer MLflow wrote it.*pip install -U mlflow"):
        database.prepare(url)


def test_the_command_stops_with_the_fix_and_a_status(context: Context) -> None:
    from perijove_hub.cli.serve import mlflow

    at_revision(database.folder(context) / "mlflow.sqlite", "ffffffffffff")
    Topology("http://127.0.0.1:1", "http://127.0.0.1:1", "127.0.0.1", 1, 1, 1).save(
        context.data.run / "topology.json"
    )
    done = CliRunner().invoke(mlflow, ["--data-dir", str(context.data.root)])
    assert done.exit_code == 78
    assert "ffffffffffff" in done.output
    assert "pip install -U mlflow" in done.output


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "mlflow.sqlite").write_text("not a database at all, but long enough to see")
    with pytest.raises(MlflowDatabaseError, match=r"mlflow\.sqlite cannot be read"):
        database.prepare(f"sqlite:///{tmp_path / 'mlflow.sqlite'}")


def test_a_password_is_never_shown(tmp_path: Path) -> None:
    with pytest.raises(MlflowDatabaseError) as caught:
        database.check("postgresql+psycopg://me:hush@127.0.0.1:1/x")
    assert "hush" not in str(caught.value)


# Of MLflow's own mappers with SQLAlchemy 2.1.
@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")
def test_an_older_database_is_copied_and_then_migrated(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.sqlite"
    url = f"sqlite:///{path}"
    make_older(url)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO experiments (experiment_id, name) VALUES (7, 'kept')")
        connection.commit()
    assert database.check(url) == OLDER
    database.prepare(url)
    assert database.check(url) is None
    backup = tmp_path / f"mlflow.sqlite.before-migration-from-{OLDER}"
    for place in (path, backup):
        with closing(sqlite3.connect(place)) as connection:
            found = connection.execute("SELECT name FROM experiments").fetchall()
        assert found == [("kept",)]
        assert place.stat().st_mode & 0o777 == 0o600
    assert database.check(f"sqlite:///{backup}") == OLDER


def make_older(url: str) -> None:
    """Make a database as MLflow 2.0 left it."""
    from alembic import command
    from mlflow.store.db.utils import _get_alembic_config
    from mlflow.store.tracking.dbmodels.initial_models import Base
    from sqlalchemy import create_engine

    engine = create_engine(url)
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        config = _get_alembic_config(url)
        config.attributes["connection"] = connection
        command.upgrade(config, OLDER)
    engine.dispose()


def test_every_revision_of_the_installed_mlflow_is_known() -> None:
    from mlflow.store.db.utils import _get_latest_schema_revision

    revisions, head = database._known()
    assert head == _get_latest_schema_revision()
    assert OLDER in revisions

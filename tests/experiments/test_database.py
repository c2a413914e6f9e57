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
    with pytest.raises(MlflowDatabaseError, match="newer MLflow wrote it.*pip install -U mlflow"):
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


def test_an_older_database_is_copied_and_then_migrated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mlflow.sqlite"
    url = at_revision(path, OLDER)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE kept (x)")
        connection.execute("INSERT INTO kept VALUES (42)")
        connection.commit()
    migrated: list[str] = []
    monkeypatch.setattr(database, "_upgrade", migrated.append)
    assert database.check(url) == OLDER
    database.prepare(url)
    assert migrated == [url]
    backup = tmp_path / f"mlflow.sqlite.before-migration-from-{OLDER}"
    with closing(sqlite3.connect(backup)) as connection:
        assert connection.execute("SELECT x FROM kept").fetchall() == [(42,)]
    assert backup.stat().st_mode & 0o777 == 0o600


def test_every_revision_of_the_installed_mlflow_is_known() -> None:
    from mlflow.store.db.utils import _get_latest_schema_revision

    revisions, head = database._known()
    assert head == _get_latest_schema_revision()
    assert OLDER in revisions

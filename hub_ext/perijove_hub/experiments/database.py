"""MLflow's own database: checked, copied and brought up to date before anything is served."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy import create_engine, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from perijove_hub.context import Context


class MlflowDatabaseError(Exception):
    """MLflow's database cannot be served; ``str()`` says why and what to do."""


def folder(context: Context) -> Path:
    """Return where MLflow's database and artifacts lie, made on first use."""
    found = context.data.root / "mlflow"
    (found / "artifacts").mkdir(parents=True, exist_ok=True, mode=0o700)
    return found


def database_url(context: Context) -> str:
    """Return the SQLAlchemy URL of MLflow's database."""
    return context.settings.store.mlflow or f"sqlite:///{folder(context) / 'mlflow.sqlite'}"


def check(url: str) -> str | None:
    """Return the revision an older database is at, ``None`` for one that is new or current.

    Costs no import of MLflow. Raises ``MlflowDatabaseError`` for a database that cannot be
    read, or that a newer MLflow wrote.
    """
    shown = make_url(url).render_as_string(hide_password=True)
    found = revision(url)
    revisions, head = _known()
    if found is None or found == head:
        return None
    if found not in revisions:
        raise MlflowDatabaseError(
            f"MLflow's database {shown} is at revision {found}, which MLflow "
            f"{version('mlflow')} does not know: a newer MLflow wrote it. Install that version "
            "again (pip install -U mlflow), or put back the copy made before its migration."
        )
    return found


def prepare(url: str) -> None:
    """Bring the database to this MLflow's schema; an SQLite file is copied first.

    Raises ``MlflowDatabaseError``; nothing was changed then.
    """
    older = check(url)
    path = _sqlite_path(url)
    if older is not None:
        if path is None:
            raise MlflowDatabaseError(
                f"MLflow's database is at the older revision {older}. Back it up, then run "
                "`mlflow db upgrade URL` with the URL of store.mlflow, and start again."
            )
        _copy(path, older)
        _upgrade(url)
    if path is not None:
        with closing(sqlite3.connect(path)) as connection:
            # Readers then never wait for a writer; the mode stays with the file.
            connection.execute("PRAGMA journal_mode=WAL")
        path.chmod(0o600)


def known_revisions() -> set[str]:
    """List the revisions of the schema that this MLflow knows."""
    return _known()[0]


def revision(url: str) -> str | None:
    """Read the schema's revision; ``None`` for a database without tables of MLflow.

    Raises ``MlflowDatabaseError`` for a database that cannot be read.
    """
    shown = make_url(url).render_as_string(hide_password=True)
    path = _sqlite_path(url)
    if path is not None and not path.exists():
        return None
    engine = create_engine(url)
    try:
        if not inspect(engine).has_table("alembic_version"):
            return None
        with engine.connect() as connection:
            found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
            return found
    except SQLAlchemyError as error:
        raise MlflowDatabaseError(
            f"MLflow's database {shown} cannot be read ({type(error).__name__}). Mend or move "
            "it, or name another with the key 'mlflow' in the table [store] of perijove.toml."
        ) from None
    finally:
        engine.dispose()


def _known() -> tuple[set[str], str]:
    """Revisions this MLflow knows, and the newest, read from its migrations as text."""
    spec = find_spec("mlflow")
    if spec is None or spec.origin is None:
        raise MlflowDatabaseError("MLflow is not installed: pip install 'perijove[hub]'.")
    revisions, replaced = set[str](), set[str]()
    versions = Path(spec.origin).parent / "store" / "db_migrations" / "versions"
    for migration in versions.glob("*.py"):
        source = migration.read_text(encoding="utf-8")
        if found := re.search(r'^revision(?::[^=]*)? = "(\w+)"', source, re.M):
            revisions.add(found[1])
            below = re.search(r"^down_revision(?::[^=]*)? = (.+)$", source, re.M)
            replaced.update(re.findall(r'"(\w+)"', below[1]) if below else [])
    heads = revisions - replaced
    if len(heads) != 1:
        raise MlflowDatabaseError(
            f"MLflow {version('mlflow')} has {len(heads)} newest revisions where one is "
            "expected: its installation is damaged. Install it again."
        )
    return revisions, heads.pop()


def _sqlite_path(url: str) -> Path | None:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        return None
    return Path(parsed.database)


def _copy(path: Path, revision: str) -> None:
    """Copy the database beside itself, write-ahead log and all."""
    backup = path.with_name(f"{path.name}.before-migration-from-{revision}")
    partial = backup.with_name(backup.name + ".part")
    partial.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(partial)) as target:
        source.backup(target)
    partial.chmod(0o600)
    partial.replace(backup)


def _upgrade(url: str) -> None:
    from mlflow.store.db.utils import _upgrade_db

    engine = create_engine(url)
    try:
        _upgrade_db(engine)
    except Exception as error:
        raise MlflowDatabaseError(
            f"MLflow's database could not be migrated ({type(error).__name__}: {error}). The "
            "copy made before lies beside it; put it back and report this."
        ) from error
    finally:
        engine.dispose()

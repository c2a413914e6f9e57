"""A consistent copy of a database that is in use, and the way back."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from sqlalchemy import create_engine, inspect
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from perijove_hub.backup.exceptions import BackupError


def sqlite_path(url: str) -> Path | None:
    """Return the file of an SQLite URL; ``None`` for another database."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        return None
    return Path(parsed.database)


def copy_sqlite(path: Path, target: Path) -> None:
    """Copy a database as it is at one moment, write-ahead log and all."""
    try:
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(target)) as copy:
            source.backup(copy)
    except sqlite3.Error as error:
        raise BackupError(
            f"{path} cannot be copied to {target.parent} ({error}). Is that disk full, or the "
            "database damaged?"
        ) from None


def dump(url: str, target: Path) -> None:
    """Write what is in a PostgreSQL database at one moment."""
    place, environment = _libpq(url)
    _run("pg_dump", "--format=custom", f"--file={target}", place, environment=environment)


def load(url: str, dumped: Path) -> None:
    """Fill an empty PostgreSQL database, all or nothing."""
    place, environment = _libpq(url)
    _run(
        "pg_restore",
        "--single-transaction",
        "--exit-on-error",
        "--no-owner",
        "--no-privileges",
        f"--dbname={place}",
        str(dumped),
        environment=environment,
    )


def check_empty(url: str) -> None:
    """Raise ``BackupError`` unless the database answers and has no table."""
    shown = make_url(url).render_as_string(hide_password=True)
    engine = create_engine(url)
    try:
        tables = inspect(engine).get_table_names()
    except SQLAlchemyError as error:
        raise BackupError(
            f"the database {shown} does not answer ({type(error).__name__})."
        ) from None
    finally:
        engine.dispose()
    if tables:
        raise BackupError(
            f"the database {shown} is not empty: it has {len(tables)} tables. Name an empty one "
            "in the settings that --config gives."
        )


def check_postgres(url: str) -> None:
    """Raise ``BackupError`` for a database this cannot save."""
    if make_url(url).get_backend_name() != "postgresql":
        raise BackupError(
            f"databases of {make_url(url).get_backend_name()} are not saved by this command, "
            "only those of SQLite and PostgreSQL."
        )


def _libpq(url: str) -> tuple[str, dict[str, str]]:
    """Return the address without a password, which goes where no process list shows it."""
    parsed = make_url(url)
    # Built anew, because set(password=None) leaves the password as it is.
    place = URL.create(
        "postgresql",
        username=parsed.username,
        host=parsed.host,
        port=parsed.port,
        database=parsed.database,
        query=parsed.query,
    )
    password = {"PGPASSWORD": str(parsed.password)} if parsed.password else {}
    return place.render_as_string(), password


def _run(program: str, *arguments: str, environment: dict[str, str]) -> None:
    found = shutil.which(program)
    if found is None:
        raise BackupError(f"'{program}' is not here: install PostgreSQL's client programs.")
    done = subprocess.run(
        [found, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise BackupError(f"{program} failed: {lines[0]}")

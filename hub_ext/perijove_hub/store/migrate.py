"""Bring the database to this version's schema, or say why that cannot be."""

from __future__ import annotations

from importlib import resources

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import OperationalError

from perijove_hub.store.database import Database


class MigrationError(Exception):
    """The database cannot be used; ``str()`` says why and what to do."""


def upgrade(database: Database) -> None:
    """Apply what is missing, all or nothing.

    Raises ``MigrationError`` for a database that a newer Perijove made, or that does not
    answer; neither is changed.
    """
    config = _config()
    script = ScriptDirectory.from_config(config)
    try:
        # One transaction: two processes that start together take turns, and a migration
        # that fails half way leaves no trace.
        with database.engine.begin() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
            known = known_revisions()
            if current is not None and current not in known:
                raise MigrationError(
                    f"the database is of a newer Perijove (schema {current}, this version knows "
                    f"up to {script.get_current_head()}). Install that version again, or restore "
                    "the copy made before it."
                )
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except OperationalError as error:
        raise _silent(error) from None


def revision(database: Database) -> str | None:
    """Return the schema's revision; ``None`` for an empty database. Raises ``MigrationError``."""
    try:
        with database.engine.execution_options(reading=True).connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    except OperationalError as error:
        raise _silent(error) from None


def known_revisions() -> set[str]:
    """List the revisions of the schema that this Perijove knows."""
    script = ScriptDirectory.from_config(_config())
    return {revision.revision for revision in script.walk_revisions()}


def add_migration(database: Database, message: str) -> None:
    """Write the migration from the database's schema to the classes' (for developers)."""
    config = _config()
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.revision(config, message, autogenerate=True)


def _silent(error: OperationalError) -> MigrationError:
    # The URL may hold a password; the driver's own words do not.
    return MigrationError(
        f"the database does not answer ({error.orig}). Check store.database in perijove.toml."
    )


def _config() -> Config:
    config = Config()
    folder = resources.files("perijove_hub.store") / "migrations"
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config

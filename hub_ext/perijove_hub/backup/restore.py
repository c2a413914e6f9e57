"""``perijove restore``: what an archive holds, in a new data directory."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

from perijove_hub.backup import databases
from perijove_hub.backup.archive import Reader
from perijove_hub.backup.exceptions import BackupError
from perijove_hub.experiments import database as mlflow
from perijove_hub.settings import Settings
from perijove_hub.store import migrate

#: Parts and their places in the data directory.
PLACES = {
    "hub.sqlite": "hub.sqlite",
    "secrets": "secrets",
    "store.sqlite": "perijove.sqlite",
    "mlflow.sqlite": "mlflow/mlflow.sqlite",
    "mlflow-artifacts": "mlflow/artifacts",
    "blobs": "blobs",
    "demo.sqlite": "demo/demo.sqlite",
    "homes": "homes",
    "perijove.toml": "perijove.toml",
}


def restore(archive: Path, root: Path, settings: Settings) -> dict[str, Any]:
    """Put everything back under ``root``, which must be new or empty; return the manifest.

    Databases of a server and a blob store elsewhere are those that ``settings`` name. The
    archive is checked whole before anything is written. Raises ``BackupError``; ``root`` is as
    it was then, but a server's database may be filled when the next one could not be.
    """
    root = root.expanduser().absolute()
    if os.path.lexists(root) and (not root.is_dir() or any(root.iterdir())):
        raise BackupError(f"{root} is not empty. Name a new directory with --data-dir.")
    reader = Reader(archive)
    _check_schemas(reader.manifest)
    servers = _check_databases(reader, settings)
    is_new = not root.exists()
    # Inside, because the directory may be a mount point, which nothing can be moved to.
    staging = root / ".restoring"
    try:
        staging.mkdir(parents=True, mode=0o700)
        _unpack(reader, staging)
        for name, url in servers.items():
            dumped = staging / f"{name}.pgdump"
            reader.unpack(dumped.name, dumped)
            databases.load(url, dumped)
            dumped.unlink()
        for path in list(staging.iterdir()):
            path.rename(root / path.name)
        staging.rmdir()
        root.chmod(0o700)
    except BaseException as error:
        shutil.rmtree(root if is_new else staging, ignore_errors=True)
        if isinstance(error, OSError):
            raise BackupError(f"{root} cannot be written ({error.strerror}).") from None
        raise
    return reader.manifest


def _unpack(reader: Reader, staging: Path) -> None:
    for part, place in PLACES.items():
        if part in reader:
            (staging / place).parent.mkdir(exist_ok=True, mode=0o700)
            reader.unpack(part, staging / place)
    _forget_servers(staging / "hub.sqlite")


def _check_schemas(manifest: dict[str, Any]) -> None:
    """Refuse what a newer version wrote: this one could damage it."""
    found = manifest["schemas"]
    known = {"store": migrate.known_revisions(), "mlflow": mlflow.known_revisions()}
    for name, package in (("store", "perijove"), ("mlflow", "mlflow")):
        if found[name] is not None and found[name] not in known[name]:
            raise BackupError(
                f"the backup was made with {package} {manifest['versions'][package]} (schema "
                f"{found[name]}), which is newer than the {version(package)} here. Install that "
                "version, then restore."
            )


def _check_databases(reader: Reader, settings: Settings) -> dict[str, str]:
    """Return the servers' databases to fill. Raises when archive and settings differ."""
    servers = {}
    for name, url in (("store", settings.store.database), ("mlflow", settings.store.mlflow)):
        key = "database" if name == "store" else "mlflow"
        if f"{name}.pgdump" in reader:
            if not url:
                raise BackupError(
                    f"the backup's {name} database is of PostgreSQL. Name an empty one as "
                    f"[store] {key} in the settings and pass them with --config."
                )
            databases.check_postgres(url)
            databases.check_empty(url)
            servers[name] = url
        elif url:
            raise BackupError(
                f"the backup's {name} database is a file of SQLite, and the settings name a "
                f"server. Take [store] {key} out of them."
            )
    return servers


def _forget_servers(hub: Path) -> None:
    """Let the Hub start with no workspace running: those it remembers are on another machine."""
    if not hub.exists():
        return
    with closing(sqlite3.connect(hub)) as connection, connection:
        connection.execute("DELETE FROM servers WHERE id IN (SELECT server_id FROM spawners)")
        connection.execute("UPDATE spawners SET server_id = NULL, state = NULL, started = NULL")

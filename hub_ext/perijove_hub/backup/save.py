"""``perijove backup``: a consistent archive while everything runs."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from perijove_hub.backup import databases
from perijove_hub.backup.archive import Writer
from perijove_hub.backup.exceptions import BackupError
from perijove_hub.context import Context
from perijove_hub.experiments import database as mlflow
from perijove_hub.files.homes import homes_place
from perijove_hub.files.places import Folder
from perijove_hub.store import migrate

#: Packages whose schema is in the archive.
PACKAGES = ("perijove", "mlflow", "jupyterhub")


def save(context: Context, target: Path, *, homes: bool, say: Callable[[str], None]) -> None:
    """Write the archive to ``target``, which must not exist; only its owner reads it.

    ``say`` is told what is left out. Raises ``BackupError``; no half archive is left then.
    """
    if os.path.lexists(target):
        raise BackupError(f"{target} exists already. Name a new file.")
    partial = target.with_name(f".{target.name}.part")
    try:
        descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w+b") as file:
            writer = Writer(file)
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=".backup-") as scratch:
                about = _save_databases(context, writer, Path(scratch))
            _save_files(context, writer, homes=homes, say=say)
            writer.finish(about)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(target)
    except OSError as error:
        raise BackupError(
            f"the backup cannot be written to {target} ({error.strerror}). Make room, or name "
            "another place."
        ) from None
    finally:
        partial.unlink(missing_ok=True)


def _save_databases(context: Context, writer: Writer, scratch: Path) -> dict[str, Any]:
    """Save the databases first: what they point to in files is never changed, only added to."""
    settings, data = context.settings, context.data
    hub = data.root / "hub.sqlite"
    if hub.exists():
        databases.copy_sqlite(hub, scratch / "hub")
        writer.add_file("hub.sqlite", scratch / "hub")
    urls = {"store": data.database_url(settings), "mlflow": mlflow.database_url(context)}
    for name, url in urls.items():
        path = databases.sqlite_path(url)
        copy = scratch / name
        if path is None:
            databases.check_postgres(url)
            databases.dump(url, copy)
            writer.add_file(f"{name}.pgdump", copy)
        elif path.exists():
            databases.copy_sqlite(path, copy)
            writer.add_file(f"{name}.sqlite", copy)
        copy.unlink(missing_ok=True)
    return {
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "data_dir": str(data.root),
        "versions": {name: version(name) for name in PACKAGES},
        "schemas": {
            "store": migrate.revision(context.database),
            "mlflow": mlflow.revision(urls["mlflow"]),
        },
    }


def _save_files(
    context: Context, writer: Writer, *, homes: bool, say: Callable[[str], None]
) -> None:
    data, settings = context.data, context.settings
    if context.config:
        writer.add_file("perijove.toml", context.config)
    if data.demo_database.exists():
        writer.add_file("demo.sqlite", data.demo_database)
    writer.add_folder("secrets", data.secrets)
    blobs = _local(data.blobs_url(settings))
    if blobs is None:
        say(f"Not in it: the blobs, which are at {settings.store.blobs}.")
    elif blobs.exists():
        writer.add_folder("blobs", blobs, leave_out=["*.part"])
    artifacts = data.root / "mlflow" / "artifacts"
    if artifacts.exists():
        writer.add_folder("mlflow-artifacts", artifacts)
    if homes:
        place = homes_place(context)
        if not isinstance(place, Folder):
            say(f"Not in it: the homes, which are at {settings.files.homes}.")
        elif place.path.exists():
            writer.add_folder("homes", place.path)
    else:
        say("Not in it: the homes. --homes adds them.")
    for name, folder in settings.files.shared.items():
        say(f"Not in it: the shared folder '{name}', which is at {folder.place}.")
    say("Not in it: images. Build them where you restore, or move them with `docker save`.")


def _local(url: str) -> Path | None:
    if url.startswith("file://"):
        return Path(url.removeprefix("file://"))
    return None if "://" in url else Path(url)

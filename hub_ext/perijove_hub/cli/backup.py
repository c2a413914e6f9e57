"""``perijove backup`` and ``perijove restore``."""

from __future__ import annotations

from pathlib import Path

import click

from perijove_hub.cli.options import data_options, fail
from perijove_hub.paths import DataDirError
from perijove_hub.settings import SettingsError


@click.command()
@click.argument("dest", type=click.Path(path_type=Path))
@data_options
@click.option("--homes", is_flag=True, help="Add the users' homes.")
def backup(dest: Path, data_dir: Path, config: Path | None, homes: bool) -> None:
    """Write everything Perijove must not lose to the file DEST, also while it runs.

    The file holds keys and passwords: keep it where only administrators read it.
    """
    from perijove_hub.backup.exceptions import BackupError
    from perijove_hub.backup.save import save
    from perijove_hub.context import Context
    from perijove_hub.experiments.database import MlflowDatabaseError
    from perijove_hub.store.migrate import MigrationError

    # Opening it would make an empty one.
    if not (data_dir.expanduser() / "run" / "topology.json").exists():
        fail(f"Perijove has not run in {data_dir}: there is nothing to save. Check --data-dir.")
    try:
        context = Context.open(data_dir, config)
        save(context, dest.absolute(), homes=homes, say=click.echo)
    except (
        BackupError,
        SettingsError,
        DataDirError,
        MigrationError,
        MlflowDatabaseError,
    ) as error:
        fail(error)
    click.echo(f"{dest} holds {dest.stat().st_size / 2**20:.1f} MiB. It holds keys: guard it.")


@click.command()
@click.argument("archive", type=click.Path(path_type=Path))
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    required=True,
    help="A new or empty directory.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    envvar="PERIJOVE_CONFIG",
    help="Settings file that names empty databases, for a backup of PostgreSQL.",
)
def restore(archive: Path, data_dir: Path, config: Path | None) -> None:
    """Put what `perijove backup` saved into a new data directory."""
    from perijove_hub.backup.exceptions import BackupError
    from perijove_hub.backup.restore import restore as put_back
    from perijove_hub.settings import load

    try:
        manifest = put_back(archive, data_dir, load(config))
    except (BackupError, SettingsError) as error:
        fail(error)
    click.echo(f"{data_dir} is as {manifest['data_dir']} was at {manifest['made_at']}.")
    saved = data_dir / "perijove.toml"
    with_config = f" --config {saved}" if saved.exists() else ""
    click.echo(f"Start it with `perijove up --data-dir {data_dir}{with_config}`.")

"""A backup is consistent, private, and refused when anything about it is wrong."""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy.engine import make_url

from perijove_hub.backup.archive import MANIFEST, Reader, Writer
from perijove_hub.backup.exceptions import BackupError
from perijove_hub.backup.restore import restore
from perijove_hub.backup.save import save
from perijove_hub.cli.main import cli
from perijove_hub.context import Context
from perijove_hub.hub import accounts
from perijove_hub.settings import Settings, load
from perijove_hub.store.migrate import upgrade
from tests.fixtures.postgres import postgres
from tests.fixtures.processes import pythonpath


@pytest.fixture
def lived_in(context: Context) -> Context:
    """A data directory in which something has happened."""
    accounts.ensure(context.database, "ada")
    context.blobs.put(b"a notebook")
    context.data.secret("store-key")
    (context.data.run / "topology.json").write_text("{}")
    home = context.data.homes / "ada"
    home.mkdir()
    (home / "notes.txt").write_text("hello")
    return context


@pytest.fixture
def archive(lived_in: Context, tmp_path: Path) -> Path:
    path = tmp_path / "backup.tar"
    save(lived_in, path, homes=True, say=lambda _: None)
    return path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_everything_comes_back(lived_in: Context, archive: Path, tmp_path: Path) -> None:
    answer = run("restore", archive, "--data-dir", tmp_path / "new")
    assert answer.exit_code == 0, answer.output
    assert f"is as {lived_in.data.root} was at 20" in answer.output
    back = Context.open(tmp_path / "new", None)
    assert [row.name for row in accounts.every(back.database)] == ["ada"]
    [blob] = (path.name for path in (lived_in.data.root / "blobs").rglob("*") if path.is_file())
    assert back.blobs.get(blob) == b"a notebook"
    assert back.data.secret("store-key") == lived_in.data.secret("store-key")
    assert (back.data.homes / "ada" / "notes.txt").read_text() == "hello"
    assert back.data.root.stat().st_mode & 0o777 == 0o700
    assert (back.data.secrets / "store-key").stat().st_mode & 0o777 == 0o600
    back.database.close()


def test_only_its_owner_reads_it_and_an_older_one_is_never_overwritten(
    lived_in: Context, archive: Path
) -> None:
    assert archive.stat().st_mode & 0o777 == 0o600
    before = archive.read_bytes()
    answer = run("backup", archive, "--data-dir", lived_in.data.root)
    assert answer.exit_code == 1
    assert "exists already" in answer.output
    assert archive.read_bytes() == before


def test_what_is_left_out_is_said(lived_in: Context, tmp_path: Path) -> None:
    answer = run("backup", tmp_path / "b.tar", "--data-dir", lived_in.data.root)
    assert answer.exit_code == 0, answer.output
    assert "Not in it: the homes. --homes adds them." in answer.output
    assert "homes" not in Reader(tmp_path / "b.tar")


def test_a_directory_in_which_nothing_ever_ran_is_refused_and_not_made(tmp_path: Path) -> None:
    answer = run("backup", tmp_path / "b.tar", "--data-dir", tmp_path / "typo")
    assert answer.exit_code == 1
    assert "Perijove has not run in" in answer.output
    assert not (tmp_path / "typo").exists()


def test_a_users_link_is_saved_as_a_link(lived_in: Context, tmp_path: Path) -> None:
    home = lived_in.data.homes / "ada"
    (home / "secrets").symlink_to(lived_in.data.secrets)
    os.mkfifo(home / "pipe")
    # Deeper than Python can recurse.
    place = os.open(home, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=place)
        inner = os.open("d", os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = inner
    os.close(place)
    save(lived_in, tmp_path / "b.tar", homes=True, say=lambda _: None)
    restore(tmp_path / "b.tar", tmp_path / "new", Settings())
    back = tmp_path / "new" / "homes" / "ada"
    assert (back / "secrets").readlink() == lived_in.data.secrets
    assert (back / "pipe").is_fifo()
    for folder in (home, back):
        subprocess.run(["rm", "-rf", folder / "d"], check=True)


def test_a_database_in_the_middle_of_a_write_is_saved_as_it_was_before(
    lived_in: Context, tmp_path: Path
) -> None:
    path = lived_in.data.root / "perijove.sqlite"
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("DELETE FROM logins")
    save(lived_in, tmp_path / "b.tar", homes=False, say=lambda _: None)
    writer.execute("COMMIT")
    writer.close()
    restore(tmp_path / "b.tar", tmp_path / "new", Settings())
    back = Context.open(tmp_path / "new", None)
    assert [row.name for row in accounts.every(back.database)] == ["ada"]
    back.database.close()


@pytest.mark.parametrize("place", ["header", "middle", "end"])
def test_a_damaged_archive_is_refused_before_anything_is_written(
    archive: Path, tmp_path: Path, place: str
) -> None:
    content = bytearray(archive.read_bytes())
    with tarfile.open(archive) as tar:
        blobs = tar.getmember("blobs")
    match place:
        case "header":
            content[0] ^= 1
        case "middle":
            content[blobs.offset_data + 600] ^= 1
        case "end":
            # The disk was full, or the copy was cut short.
            del content[blobs.offset_data + 512 :]
    archive.write_bytes(content)
    answer = run("restore", archive, "--data-dir", tmp_path / "new")
    assert answer.exit_code == 1
    assert "is damaged (" in answer.output
    assert "Nothing was restored" in answer.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup.tar", "data"]


def test_another_file_is_no_backup(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("hello\n")
    for name, words in (("x", "is damaged"), ("none", "cannot be read (No such file")):
        answer = run("restore", tmp_path / name, "--data-dir", tmp_path / "new")
        assert answer.exit_code == 1
        assert words in answer.output
    with tarfile.open(tmp_path / "other.tar", "w") as tar:
        tar.add(tmp_path / "x", "x")
    with pytest.raises(BackupError, match="it has no manifest"):
        Reader(tmp_path / "other.tar")


def changed(archive: Path, **changes: object) -> Path:
    """Write the archive again with another manifest."""
    with tarfile.open(archive) as tar:
        manifest = json.loads(tar.extractfile(MANIFEST).read())  # type: ignore[union-attr]
        parts = {
            member.name: tar.extractfile(member).read()  # type: ignore[union-attr]
            for member in tar
            if member.name != MANIFEST
        }
    manifest.update(changes)
    path = archive.with_name("changed.tar")
    with path.open("w+b") as file:
        writer = Writer(file)
        for name, content in parts.items():
            source = archive.with_name("part")
            source.write_bytes(content)
            writer.add_file(name, source)
        del manifest["parts"]
        writer.finish(manifest)
    return path


@pytest.mark.parametrize("which", ["store", "mlflow"])
def test_a_newer_schema_is_refused(archive: Path, tmp_path: Path, which: str) -> None:
    manifest = Reader(archive).manifest
    newer = changed(archive, schemas={**manifest["schemas"], which: "9999_from_tomorrow"})
    answer = run("restore", newer, "--data-dir", tmp_path / "new")
    assert answer.exit_code == 1
    assert "9999_from_tomorrow), which is newer than the" in answer.output
    assert not (tmp_path / "new").exists()


def test_a_newer_format_is_refused(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="has format 2 and this Perijove reads format 1"):
        restore(changed(archive, format=2), tmp_path / "new", Settings())


def test_a_directory_with_something_in_it_is_refused_and_left_alone(
    archive: Path, tmp_path: Path
) -> None:
    target = tmp_path / "new"
    target.mkdir()
    (target / "precious").write_text("x")
    answer = run("restore", archive, "--data-dir", target)
    assert answer.exit_code == 1
    assert f"{target} is not empty" in answer.output
    assert [path.name for path in target.iterdir()] == ["precious"]
    (target / "precious").unlink()
    assert run("restore", archive, "--data-dir", target).exit_code == 0


# In the middle of a database, and of a home.
@pytest.mark.parametrize(
    ("size", "words"), [(100_000, "Is that disk full"), (5_000_000, "cannot be written to")]
)
def test_a_full_disk_leaves_no_half_backup(
    lived_in: Context, tmp_path: Path, size: int, words: str
) -> None:
    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    place = tmp_path / "out"
    place.mkdir()
    (lived_in.data.homes / "ada" / "large").write_bytes(os.urandom(6_000_000))
    command = ["backup", str(place / "b.tar"), "--data-dir", str(lived_in.data.root), "--homes"]
    answer = subprocess.run(
        [sys.executable, "-m", "perijove_hub.cli", *command],
        preexec_fn=small,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": pythonpath()},
    )
    assert answer.returncode == 1
    assert words in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not list(place.iterdir())


def test_postgresql_goes_into_an_empty_database_and_no_other(tmp_path: Path) -> None:
    with postgres() as url:
        config = tmp_path / "perijove.toml"
        config.write_text(f'[store]\ndatabase = "{url}"\n')
        context = Context.open(tmp_path / "data", config)
        upgrade(context.database)
        accounts.ensure(context.database, "ada")
        save(context, tmp_path / "b.tar", homes=False, say=lambda _: None)
        with pytest.raises(BackupError, match="is not empty: it has"):
            restore(tmp_path / "b.tar", tmp_path / "new", load(config))
        with pytest.raises(BackupError, match=r"Name an empty one as \[store\] database"):
            restore(tmp_path / "b.tar", tmp_path / "new", Settings())
        with context.database.engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql(
                "CREATE DATABASE other"
            )
        context.database.close()
        other = make_url(url).set(database="other").render_as_string(hide_password=False)
        config.write_text(f'[store]\ndatabase = "{other}"\n')
        restore(tmp_path / "b.tar", tmp_path / "new", load(config))
        back = Context.open(tmp_path / "new", config)
        assert [row.name for row in accounts.every(back.database)] == ["ada"]
        back.database.close()
    # The settings are in the archive, as somebody wrote them; nothing else names the password.
    assert b"hunter2" not in json.dumps(Reader(tmp_path / "b.tar").manifest).encode()


def test_a_restore_that_fails_half_way_leaves_nothing(archive: Path, tmp_path: Path) -> None:
    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    for target, before in ((tmp_path / "new", False), (tmp_path / "there", True)):
        if before:
            target.mkdir()
        command = ["restore", str(archive), "--data-dir", str(target)]
        answer = subprocess.run(
            [sys.executable, "-m", "perijove_hub.cli", *command],
            preexec_fn=small,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": pythonpath()},
        )
        assert answer.returncode == 1
        assert f"{target} cannot be written (File too large)" in answer.stderr
        assert target.exists() == before
        assert not before or not list(target.iterdir())

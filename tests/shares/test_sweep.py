"""Blobs go when nothing names them any more, and never while something does."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from perijove_hub.store import BlobStore, Database, sweep
from perijove_hub.store.loose import note
from perijove_hub.store.migrate import upgrade
from perijove_hub.store.models import (
    Base,
    JobRow,
    JobVersionRow,
    LooseBlobRow,
    ShareRow,
    utcnow,
)
from tests.fixtures.postgres import postgres
from tests.fixtures.processes import pythonpath

#: Seconds a thread of a test may take.
PATIENCE = 30


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty store."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'store.sqlite'}"
        return
    yield request.getfixturevalue("server")
    database = Database(request.getfixturevalue("server"))
    Base.metadata.drop_all(database.engine)
    with database.engine.begin() as connection:
        connection.exec_driver_sql("drop table alembic_version")
    database.close()


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    database = Database(url)
    upgrade(database)
    yield database
    database.close()


@pytest.fixture
def blobs(database: Database, tmp_path: Path) -> BlobStore:
    return BlobStore(str(tmp_path / "blobs"), database)


def shared(database: Database, address: str) -> str:
    """Let a share name a blob; returns its id."""
    later = utcnow() + timedelta(days=1)
    row = ShareRow(sender="ada", name="x.ipynb", notebook_sha256=address, expires_at=later)
    with database.session() as session:
        session.add(row)
    return row.id


def let_go(database: Database, share: str) -> None:
    """Delete a share as the service does."""
    with database.session() as session:
        row = session.get_one(ShareRow, share)
        assert row.notebook_sha256
        note(session, row.notebook_sha256)
        session.delete(row)


def pass_an_hour(database: Database) -> None:
    """Make what is loose now old enough."""
    with database.session() as session:
        for row in session.scalars(select(LooseBlobRow)):
            row.since -= sweep.GRACE


def loose(database: Database) -> set[str]:
    with database.reading() as session:
        return set(session.scalars(select(LooseBlobRow.sha256)))


def files(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "blobs").rglob("*") if path.is_file()}


def test_every_column_that_names_a_blob_is_looked_at() -> None:
    # A new one that is missing there would lose what it names.
    others = {"run_tokens.sha256", "idempotency_keys.request_sha256", "loose_blobs.sha256"}
    found = {
        str(column)
        for table in Base.metadata.tables.values()
        for column in table.columns
        if column.name.endswith("sha256")
    }
    assert found - others == {f"{one.class_.__tablename__}.{one.name}" for one in sweep.REFERENCES}


def test_the_last_that_lets_go_ends_it(database: Database, blobs: BlobStore) -> None:
    address = blobs.put(b"one notebook")
    assert blobs.put(b"one notebook") == address
    first, second = shared(database, address), shared(database, address)
    with database.session() as session:
        session.add(JobRow(id="job", name="nightly", owner="ada"))
        session.flush()
        version = JobVersionRow(job_id="job", version=1, notebook_sha256=address, created_by="ada")
        session.add(version)
    for share in (first, second):
        let_go(database, share)
        pass_an_hour(database)
        sweep.sweep(database, blobs)
        assert address in blobs
        assert loose(database) == set()
    with database.session() as session:
        session.execute(update(JobVersionRow).values(notebook_sha256="0" * 64))
        note(session, address)
    sweep.sweep(database, blobs)
    assert address in blobs, "only an hour later"
    pass_an_hour(database)
    sweep.sweep(database, blobs)
    assert address not in blobs
    assert loose(database) == set()


def test_what_no_row_came_to_name_goes_with_what_a_crash_left(
    database: Database, blobs: BlobStore, tmp_path: Path
) -> None:
    address = blobs.put(b"refused afterwards")
    (tmp_path / "blobs" / address[:2] / f"{address}.12ab.part").write_bytes(b"refu")
    sweep.sweep(database, blobs)
    assert address in blobs
    pass_an_hour(database)
    sweep.sweep(database, blobs)
    assert files(tmp_path) == set()


def test_content_stored_while_its_blob_is_removed_is_there_afterwards(
    url: str, database: Database, blobs: BlobStore, tmp_path: Path
) -> None:
    address = blobs.put(b"again")
    pass_an_hour(database)
    removing, go_on = threading.Event(), threading.Event()

    class Slow(BlobStore):
        def remove(self, address: str) -> None:
            removing.set()
            assert go_on.wait(PATIENCE)
            super().remove(address)

    slow = Slow(str(tmp_path / "blobs"), database)
    sweeping = threading.Thread(target=sweep.sweep, args=(database, slow))
    sweeping.start()
    assert removing.wait(PATIENCE)
    theirs = Database(url)
    other = BlobStore(str(tmp_path / "blobs"), theirs)
    storing = threading.Thread(target=other.put, args=(b"again",))
    storing.start()
    storing.join(0.3)
    assert storing.is_alive(), "it must wait, or it would find the file that goes now"
    go_on.set()
    for thread in (sweeping, storing):
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert address in blobs
    assert loose(database) == {address}
    theirs.close()


def test_content_stored_between_the_look_and_the_removal_stays(
    database: Database, blobs: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = blobs.put(b"just in time")
    pass_an_hour(database)
    look = sweep._named

    def looked(*args: object) -> set[str]:
        found = look(*args)  # type: ignore[arg-type]
        monkeypatch.setattr(sweep, "_named", look)
        threading.Thread(target=blobs.put, args=(b"just in time",)).run()
        return found

    monkeypatch.setattr(sweep, "_named", looked)
    sweep.sweep(database, blobs)
    assert address in blobs
    assert loose(database) == {address}


def test_two_workers_and_people_who_share_the_same_again(
    url: str, database: Database, tmp_path: Path
) -> None:
    folder = str(tmp_path / "blobs")
    contents = [f"notebook {number}".encode() for number in range(24)]
    blobs = BlobStore(folder, database)
    addresses = [blobs.put(content) for content in contents]
    pass_an_hour(database)
    start, failures = threading.Barrier(3), []

    def work(what: str) -> None:
        own = Database(url)
        store = BlobStore(folder, own)
        try:
            start.wait(PATIENCE)
            if what == "sweep":
                sweep.sweep(own, store)
            else:
                for content in reversed(contents[::2]):
                    shared(own, store.put(content))
        except BaseException as error:
            failures.append(error)
        finally:
            own.close()

    threads = [threading.Thread(target=work, args=(what,)) for what in ("sweep", "sweep", "share")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert failures == []
    assert files(tmp_path) == set(addresses[::2])
    for content, address in zip(contents[::2], addresses[::2], strict=True):
        assert blobs.get(address) == content


KILLED = """
import os, signal, sys
from perijove_hub.store import BlobStore, Database, sweep

class Dying(BlobStore):
    def remove(self, address):
        if sys.argv[3] == "after":
            super().remove(address)
        os.kill(os.getpid(), signal.SIGKILL)

database = Database(sys.argv[1])
sweep.sweep(database, Dying(sys.argv[2], database))
"""


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_worker_killed_in_the_middle_loses_nothing(
    url: str, database: Database, blobs: BlobStore, tmp_path: Path, moment: str
) -> None:
    address = blobs.put(b"x")
    pass_an_hour(database)
    database.close()
    command = [sys.executable, "-c", KILLED]
    # PostgreSQL's address holds a password, which nobody but this test knows.
    ended = subprocess.run(
        [*command, url, str(tmp_path / "blobs"), moment], env={"PYTHONPATH": pythonpath()}
    )
    assert ended.returncode == -9
    assert loose(database) == {address}, "the next sweep looks again"
    assert (address in blobs) == (moment == "before")
    # Somebody shares the same meanwhile:
    share = shared(database, blobs.put(b"x"))
    pass_an_hour(database)
    sweep.sweep(database, blobs)
    assert blobs.get(address) == b"x"
    let_go(database, share)
    pass_an_hour(database)
    sweep.sweep(database, blobs)
    assert address not in blobs


def test_one_that_cannot_be_removed_keeps_no_other(
    database: Database, blobs: BlobStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stuck, other = blobs.put(b"stuck"), blobs.put(b"other")
    place = tmp_path / "blobs" / stuck[:2] / stuck
    place.unlink()
    place.mkdir()
    (place / "in the way").touch()
    pass_an_hour(database)
    sweep.sweep(database, blobs)
    assert other not in blobs
    assert loose(database) == {stuck}
    assert f"blob {stuck} cannot be removed" in caplog.text

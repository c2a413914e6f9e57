"""The disk with the database is full: nothing acknowledged is lost, and it goes on with room."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from perijove.types.jobs import RunState
from perijove_hub.context import Context
from perijove_hub.jobs import reasons
from perijove_hub.store.migrate import upgrade
from perijove_hub.store.models import AuditRow, RunRow
from tests.fixtures.api import Api
from tests.fixtures.hub import Hub
from tests.jobs.conftest import TUTORIAL, Platform, a_topology
from tests.jobs.programs import described, marking, until
from tests.jobs.test_outputs import small_disk


@contextlib.contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Leave no room on a disk for a while."""
    with (folder / "full").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (65536, 512, 1):
            with contextlib.suppress(OSError):
                while True:
                    os.write(file.fileno(), bytes(size))
    yield
    (folder / "full").unlink()


def test_a_run_that_ends_while_nothing_can_be_written_is_recorded_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, marks, go, said = (tmp_path / name for name in ("data", "marks", "go", "said"))
    # Its own output finds no room either, and that ends nothing.
    script = marking(marks, until(go), "yes | head -c 100000") + f"\ntouch '{said}'; exit 0"
    monkeypatch.setattr("perijove_hub.jobs.workload.describe", described(script))
    with small_disk(data, 8192):
        context = Context.open(data, None)
        upgrade(context.database)
        a_topology().save(context.data.run / "topology.json")
        platform = Platform(context)
        job = platform.promote()
        run = platform.run(job)
        platform.tick_until(marks.exists)
        with filled(data):
            go.touch()
            refused = 0
            while not said.exists() or refused < 3:
                try:
                    platform.duty.tick()
                except OperationalError as error:
                    assert "disk is full" in str(error)
                # Another process of the same directory, as the next worker would be.
                platform.restart()
                with pytest.raises(OperationalError, match="disk is full"):
                    platform.run(job)
                refused += 1
            assert platform.get(run).state is RunState.running
            assert len(platform.launcher.list()) == 1
        done = platform.finished(run)
        with context.database.reading() as session:
            assert session.scalar(select(func.count()).select_from(RunRow)) == 1
            ends = select(func.count()).where(AuditRow.verb == "run.end")
            assert session.scalar(ends) == 1
        assert marks.read_text().split() == [run.id]
        # There was no room for what it left: that is missing, and is said.
        assert (done.state, done.reason) == (RunState.succeeded, reasons.NO_OUTPUT)
        assert platform.finished(platform.run(job)).state is RunState.succeeded
        context.database.close()


def test_the_api_says_that_the_disk_is_full_and_keeps_what_there_was(
    hub: Hub, tmp_path: Path
) -> None:
    body = {"name": "tutorial", "notebook": TUTORIAL}
    data = tmp_path / "data"
    with (
        small_disk(data, 8192),
        Api.running(hub, data) as api,
        api.client("ada") as ada,
    ):
        job = ada.post("/jobs", json=body).json()
        with filled(data):
            answer = ada.post("/jobs", json={**body, "name": "another"})
            assert answer.status_code == 507, answer.text
            assert answer.json()["title"] == "Disk full"
            assert ada.get(f"/jobs/{job['id']}").json()["name"] == "tutorial"
        assert ada.post("/jobs", json={**body, "name": "another"}).status_code == 201
        assert len(ada.get("/jobs").json()["items"]) == 2

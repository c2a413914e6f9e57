"""Several workers on one PostgreSQL: a run is one worker's, until that worker is gone."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from perijove.types.jobs import Cause, Run, RunState
from perijove_hub import worker
from perijove_hub.context import Context
from perijove_hub.jobs import reasons, starting, workers
from perijove_hub.jobs.names import workload_name
from perijove_hub.jobs.workers import Lease, LeaseDuty
from perijove_hub.launch import Phase
from perijove_hub.store.migrate import upgrade
from perijove_hub.store.models import AttemptRow, AuditRow, RunRow, RunTokenRow, WorkerRow
from tests.fixtures.postgres import Server, server
from tests.fixtures.processes import wait_until
from tests.jobs.conftest import Platform, a_topology
from tests.jobs.nursing import Nursery, end
from tests.jobs.programs import DONE, described, marking, until

EXPIRY = 3.0


@pytest.fixture(scope="module")
def database() -> Iterator[Server]:
    with server() as found:
        yield found


@dataclass
class Site:
    """Two hosts with a data directory each, one database and one blob store."""

    nursery: Nursery
    folder: Path
    platforms: dict[str, Platform]

    @property
    def any(self) -> Platform:
        return self.platforms["a"]

    def worker(self, name: str, script: str) -> int:
        platform = self.platforms[name]
        return self.nursery.worker(
            platform.context.data.root,
            self.log(name),
            script,
            config=str(platform.context.config),
            expiry=EXPIRY,
        )

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def ready(self, name: str) -> bool:
        """Tell whether a worker has held its lease for as long as one lasts."""
        found = self.row(name)
        return found is not None and (found.expires_at - found.started_at).total_seconds() > (
            2 * EXPIRY
        )

    def row(self, name: str) -> WorkerRow | None:
        who = workers.identity(self.platforms[name].context.data)
        with self.any.context.database.reading() as session:
            return session.get(WorkerRow, who)

    def runs(self, run: Run) -> RunRow:
        with self.any.context.database.reading() as session:
            return session.get_one(RunRow, run.id)

    def ended(self, run: Run) -> int:
        """Count how often a run was ended."""
        with self.any.context.database.reading() as session:
            rows = select(func.count()).where(AuditRow.verb == "run.end", AuditRow.object == run.id)
            return session.scalar(rows) or 0


@pytest.fixture
def site(database: Server, nursery: Nursery, tmp_path: Path) -> Iterator[Site]:
    url = database.url.replace("postgresql://", "postgresql+psycopg://")
    config = tmp_path / "perijove.toml"
    config.write_text(f"[store]\ndatabase = '{url}'\nblobs = '{tmp_path / 'blobs'}'\n")
    platforms = {}
    for name in ("a", "b"):
        context = Context.open(tmp_path / name, config)
        a_topology().save(context.data.run / "topology.json")
        platforms[name] = Platform(context)
    upgrade(platforms["a"].context.database)
    found = Site(nursery, tmp_path, platforms)
    yield found
    with found.any.context.database.session() as session:
        for row in session.scalars(select(RunRow).where(RunRow.state.in_(["queued", "running"]))):
            session.delete(row)
    for platform in platforms.values():
        for status in platform.launcher.list():
            platform.launcher.stop(status.name)
        platform.context.database.close()


def test_two_workers_share_the_queue_and_run_everything_once(site: Site, tmp_path: Path) -> None:
    marks, counts, busy = tmp_path / "marks", tmp_path / "counts", tmp_path / "busy"
    busy.mkdir()
    mine = f"'{busy}'/$PERIJOVE_RUN_ID"
    script = marking(
        marks, f"touch {mine}", f"ls '{busy}' | wc -l >> '{counts}'", "sleep 0.2", f"rm {mine}"
    )
    job = site.any.promote(name="shared", policy={"concurrency": 3})
    runs = [site.any.run(job) for _ in range(16)]
    children = [site.worker("a", script), site.worker("b", script)]
    wait_until(lambda: all(site.any.get(run).state.terminal for run in runs), seconds=60)
    for child in children:
        end(child, signal.SIGTERM)
    assert {site.any.get(run).state for run in runs} == {RunState.succeeded}
    assert sorted(marks.read_text().split()) == sorted(run.id for run in runs)
    # Three at once at most, whichever worker had them.
    assert max(int(line) for line in counts.read_text().split()) <= 3
    assert len({site.runs(run).worker for run in runs}) == 2


def test_what_a_killed_worker_ran_is_lost_once_or_tried_again_once(
    site: Site, tmp_path: Path
) -> None:
    marks, go = tmp_path / "marks", tmp_path / "go"
    script = marking(marks, until(go))
    job = site.any.promote(name="killed")
    again = site.any.promote(name="again", policy={"retries": 1, "retry_delay_s": 0})
    lost, retried = site.any.run(job), site.any.run(again)
    first = site.worker("a", script)
    wait_until(lambda: marks.exists() and len(marks.read_text().split()) == 2)
    second = site.worker("b", script)
    # The other is there for longer than a lease lasts, and leaves alone what the first runs.
    wait_until(lambda: site.ready("b"))
    assert {site.runs(run).worker for run in (lost, retried)} == {site.runs(lost).worker}
    assert all(site.any.get(run).state is RunState.running for run in (lost, retried))
    end(first, signal.SIGKILL)
    wait_until(lambda: site.any.get(lost).state.terminal)
    found = site.any.get(lost)
    assert (found.state, found.cause) == (RunState.lost, Cause.lost)
    assert found.reason == reasons.WORKER
    go.touch()
    wait_until(lambda: site.any.get(retried).state.terminal)
    found = site.any.get(retried)
    assert (found.state, found.attempt) == (RunState.succeeded, 2)
    with site.any.context.database.reading() as session:
        [attempt] = session.scalars(select(AttemptRow).where(AttemptRow.run_id == retried.id))
        assert (attempt.attempt, attempt.state, attempt.cause) == (1, "lost", "lost")
        assert session.scalar(select(func.count()).select_from(RunTokenRow)) == 0
    # The first host's worker comes back, and forgets what was its own.
    wait_until(lambda: _over(site, "a"))
    third = site.worker("a", script)
    wait_until(lambda: site.platforms["a"].launcher.list() == [])
    assert [site.ended(run) for run in (lost, retried)] == [1, 1]
    assert sorted(marks.read_text().split()) == sorted([lost.id, retried.id, retried.id])
    for child in (second, third):
        end(child, signal.SIGTERM)


def _over(site: Site, name: str) -> bool:
    return all(s.phase is not Phase.running for s in site.platforms[name].launcher.list())


def test_a_worker_that_was_cut_off_stops_what_was_taken_from_it(site: Site, tmp_path: Path) -> None:
    marks, go = tmp_path / "marks", tmp_path / "go"
    script = marking(marks, until(go))
    run = site.any.run(site.any.promote(name="cut"))
    first = site.worker("a", script)
    wait_until(marks.exists)
    second = site.worker("b", script)
    wait_until(lambda: site.ready("b"))
    os.kill(first, signal.SIGSTOP)
    wait_until(lambda: site.any.get(run).state.terminal)
    workload = workload_name(run.id, 1)
    assert site.platforms["a"].launcher.poll(workload).phase is Phase.running
    before = site.any.get(run)
    os.kill(first, signal.SIGCONT)
    wait_until(lambda: site.platforms["a"].launcher.list() == [], what="the end of its workload")
    assert site.any.get(run) == before
    # It serves on with a lease of its own.
    go.touch()
    end(second, signal.SIGTERM)
    another = site.any.run(site.any.promote(name="another"))
    wait_until(lambda: site.any.get(another).state is RunState.succeeded)
    end(first, signal.SIGTERM)


def test_a_database_that_is_restarted_loses_nothing(
    site: Site, database: Server, tmp_path: Path
) -> None:
    marks, go = tmp_path / "marks", tmp_path / "go"
    runs = [site.any.run(site.any.promote(name=f"restart-{n}")) for n in range(2)]
    children = [site.worker(name, marking(marks, until(go))) for name in ("a", "b")]
    wait_until(lambda: marks.exists() and len(marks.read_text().split()) == 2)
    wait_until(lambda: site.ready("a") and site.ready("b"))
    database.stop()
    # They end while nobody can write it down, and the leases of both run out.
    go.touch()
    wait_until(lambda: all(_over(site, name) for name in ("a", "b")))
    time.sleep(EXPIRY)
    database.start()
    wait_until(lambda: all(site.any.get(run).state.terminal for run in runs), seconds=90)
    assert {site.any.get(run).state for run in runs} == {RunState.succeeded}
    assert [site.ended(run) for run in runs] == [1, 1]
    assert sorted(marks.read_text().split()) == sorted(run.id for run in runs)
    for child in children:
        end(child, signal.SIGTERM)


def test_a_data_directory_keeps_its_worker_and_a_copy_has_another(
    context: Context, tmp_path: Path
) -> None:
    assert workers.identity(context.data) == workers.identity(context.data)
    shutil.copytree(context.data.root, tmp_path / "copy")
    copy = Context.open(tmp_path / "copy", None)
    assert workers.identity(copy.data) != workers.identity(context.data)
    assert workers.identity(copy.data) == workers.identity(copy.data)


def test_a_lease_is_renewed_runs_out_and_is_another_processs_once_that_took_it(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "HEARTBEAT", 0.0)
    monkeypatch.setattr(workers, "EXPIRY", 0.3)
    first = Lease(context)
    assert not first.held
    assert first.keep() and first.held and not first.settled
    wait_until(lambda: first.keep() and first.settled, seconds=5)
    with context.database.reading() as session:
        assert first.confirmed(session)
        assert workers.alive(session) == {first.worker}
    wait_until(lambda: not first.held, seconds=5)
    with context.database.reading() as session:
        wait_until(lambda: workers.alive(session) == set(), seconds=5)
        assert not first.confirmed(session)
    # After a gap it is held again, but for others it has to wait anew.
    assert first.keep() and not first.settled
    second = Lease(context)
    assert second.worker == first.worker and second.keep()
    assert not first.keep() and not first.held
    with context.database.reading() as session:
        assert second.confirmed(session) and not first.confirmed(session)


def test_a_run_that_may_have_been_taken_over_meanwhile_is_not_started(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perijove_hub.jobs.workload.describe", described(DONE))
    real, lease = starting.ready, platform.duty.lease

    def slow(*given: Any, **more: Any) -> starting.Ready:
        found = real(*given, **more)
        # As if the whole process had been stopped for longer than a lease lasts.
        lease._until = lease._renew_at = 0.0
        assert lease.keep()
        return found

    run = platform.run(platform.promote())
    with monkeypatch.context() as patch:
        patch.setattr(starting, "ready", slow)
        platform.duty.tick()
    assert platform.launcher.list() == []
    assert list((platform.context.data.root / "scratch").iterdir()) == []
    assert platform.finished(run).state is RunState.succeeded


class Hung:
    """A duty whose step does not come back."""

    name = "hung"
    period = 0.01

    def __init__(self, stopping: threading.Event) -> None:
        self._stopping = stopping

    def tick(self) -> None:
        self._stopping.wait(60)


def test_a_step_that_is_held_up_does_not_lose_the_lease(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "HEARTBEAT", 0.1)
    monkeypatch.setattr(workers, "EXPIRY", 1.0)
    monkeypatch.setattr(LeaseDuty, "period", 0.05)
    lease, stopping = Lease(context), threading.Event()
    duties = [LeaseDuty(lease), Hung(stopping)]
    thread = threading.Thread(target=worker.work, args=(duties, stopping))
    thread.start()
    wait_until(lambda: lease.settled, seconds=10)
    with context.database.reading() as session:
        assert workers.alive(session) == {lease.worker}
    stopping.set()
    thread.join(10)
    assert not thread.is_alive()


def test_a_database_that_is_away_does_not_make_the_lease_wait_longer(
    context: Context, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lease = Lease(context)
    duty = LeaseDuty(lease)

    def away(*_: object) -> None:
        raise OperationalError("BEGIN", {}, Exception("the server is shutting down"))

    with monkeypatch.context() as patch:
        patch.setattr(Lease, "_renewed", away)
        duty.tick()
        duty.tick()
    assert caplog.text.count("cannot be renewed now") == 1
    duty.tick()
    assert lease.held

"""Several schedulers, killed, cut off and with wrong clocks: each slot is still served once."""

from __future__ import annotations

import contextlib
import random
import signal
import socket
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, make_url, select

from perijove_hub.context import Context
from perijove_hub.jobs import after, batch
from perijove_hub.jobs import scheduler as scheduler_module
from perijove_hub.jobs.scheduler import Scheduler
from perijove_hub.store import Database
from perijove_hub.store.migrate import upgrade
from perijove_hub.store.models import AuditRow, Base, RunRow, ScheduleRow, UpstreamRow
from tests.fixtures.postgres import postgres
from tests.jobs.scheduling import (
    POINTS,
    add_missed,
    add_schedules,
    context_on,
    end,
    now_of,
    serve_for_ever,
    serve_until,
    start,
)

SEED = 4
#: How often three jobs end a run at once, and a fourth follows.
ROUNDS = 15


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of a PostgreSQL for all tests here."""
    with postgres() as url:
        yield url.replace("postgresql://", "postgresql+psycopg://")


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Context]:
    """A context on an empty database of either kind."""
    if request.param == "sqlite":
        context = context_on(f"sqlite:///{tmp_path / 'store.sqlite'}", tmp_path / "data")
    else:
        context = context_on(request.getfixturevalue("server"), tmp_path / "data")
    with _emptied(context):
        yield context


@contextlib.contextmanager
def _emptied(context: Context) -> Iterator[None]:
    upgrade(context.database)
    try:
        yield
    finally:
        with context.database.session() as session:
            for table in reversed(Base.metadata.sorted_tables):
                session.execute(table.delete())
        context.database.close()


def served(database: Database) -> dict[str, list[datetime]]:
    """Return the slots that have a run, by job."""
    found: dict[str, list[datetime]] = {}
    with database.reading() as session:
        rows = session.execute(select(RunRow.job_id, RunRow.slot).order_by(RunRow.slot))
        for job_id, slot in rows:
            assert slot is not None
            found.setdefault(job_id, []).append(slot)
    return found


def assert_each_once(database: Database, jobs: list[str]) -> int:
    """Check that every slot up to the next one has exactly one run; return how many."""
    found = served(database)
    with database.reading() as session:
        rows = {row.job_id: row for row in session.scalars(select(ScheduleRow))}
        told = session.scalar(
            select(func.count()).select_from(AuditRow).where(AuditRow.verb == "run.create")
        )
    for job in jobs:
        row = rows[job]
        assert row.anchor and row.next_slot and row.every_s
        step = timedelta(seconds=row.every_s)
        expected = [row.anchor + k * step for k in range(1, (row.next_slot - row.anchor) // step)]
        assert found.get(job, []) == expected
    number = sum(len(slots) for slots in found.values())
    assert told == number
    return number


@pytest.mark.parametrize("processes", [2, 3])
def test_schedulers_that_are_killed_serve_thousands_of_slots_once(
    store: Context, processes: int
) -> None:
    url = store.database.url
    jobs = add_missed(store.database, 100, slots=100)
    chance, folder = random.Random(SEED), str(store.data.root)
    working = [start(serve_for_ever, url, folder) for _ in range(processes)]
    killed = 0
    deadline = time.monotonic() + 60
    try:
        while _left(store.database):
            assert time.monotonic() < deadline, "not served in time"
            time.sleep(chance.uniform(0.1, 0.4))
            if killed < 8:
                end([working.pop(chance.randrange(processes))])
                working.append(start(serve_for_ever, url, folder))
                killed += 1
    finally:
        end(working)
    assert killed >= 3
    assert assert_each_once(store.database, jobs) >= 10_000


def _left(database: Database) -> bool:
    """Whether a slot is due since more than some seconds."""
    with database.reading() as session:
        first = session.scalar(select(func.min(ScheduleRow.next_slot)))
    assert first is not None
    return first < now_of(database) - timedelta(seconds=12)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("point", POINTS)
def test_a_scheduler_killed_at_any_point_neither_loses_nor_doubles_a_slot(
    store: Context, point: str, number: signal.Signals
) -> None:
    jobs = add_missed(store.database, 2, slots=1, every_s=3600)
    process = start(serve_until, store.database.url, str(store.data.root), point, number)
    process.join(30)
    assert process.exitcode == -number
    end([process])
    assert sum(map(len, served(store.database).values())) == (2 if point == "committed" else 0)
    for _ in range(3):
        Scheduler(store).step()
    assert assert_each_once(store.database, jobs) == 2


class Proxy:
    """A way to PostgreSQL that is cut at a COMMIT: before it arrives, or before its answer.

    Once it is armed, ``skip`` of them pass first.
    """

    def __init__(self, port: int, *, forward: bool, skip: int = 0) -> None:
        self._target, self._forward, self._skip = port, forward, skip
        self.armed = threading.Event()
        self.cut = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            silent = threading.Event()
            for source, sink, asking in ((client, server, True), (server, client, False)):
                threading.Thread(
                    target=self._pass, args=(source, sink, asking, silent), daemon=True
                ).start()

    def _pass(
        self, source: socket.socket, sink: socket.socket, asking: bool, silent: threading.Event
    ) -> None:
        while True:
            try:
                content = source.recv(65536)
                if not asking and silent.is_set():
                    # The answer to the COMMIT: it is done, and nobody will hear of it.
                    content = b""
                commits = asking and b"COMMIT" in content and self.armed.is_set()
                if commits and self._skip:
                    self._skip -= 1
                elif commits:
                    self.armed.clear()
                    self.cut.set()
                    silent.set()
                    if not self._forward:
                        content = b""
                if content:
                    sink.sendall(content)
                    continue
            except OSError:
                pass
            for one in (source, sink):
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
                one.close()
            return


@pytest.mark.parametrize("forward", [True, False], ids=["committed", "not committed"])
def test_a_connection_cut_at_the_commit_neither_loses_nor_doubles_a_slot(
    server: str, tmp_path: Path, forward: bool, caplog: pytest.LogCaptureFixture
) -> None:
    direct = context_on(server, tmp_path / "data")
    proxy = Proxy(make_url(server).port or 0, forward=forward)
    through = make_url(server).set(port=proxy.port).render_as_string(hide_password=False)
    cut_off = context_on(through, tmp_path / "data")
    with _emptied(direct):
        jobs = add_missed(direct.database, 1, slots=1, every_s=3600)
        scheduler = Scheduler(cut_off)
        proxy.armed.set()
        scheduler.step()
        assert proxy.cut.is_set()
        assert "could not be served now" in caplog.text
        deadline = time.monotonic() + 10
        while forward and not served(direct.database):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert len(served(direct.database)) == int(forward)
        for _ in range(2):
            scheduler.step()
        assert assert_each_once(direct.database, jobs) == 1
        cut_off.database.close()
    proxy.close()


def _wrong_clock(url: str, folder: str, seconds: int) -> None:
    """Serve once in a process whose own clock is wrong by ``seconds``."""
    import sys

    off = timedelta(seconds=seconds)
    right = time.time

    class Wrong(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) + off

    time.time = lambda: right() + seconds
    for name, module in list(sys.modules.items()):
        if name.startswith("perijove_hub") and getattr(module, "datetime", None) is datetime:
            module.datetime = Wrong  # type: ignore[attr-defined]
    Scheduler(context_on(url, Path(folder))).step()


@pytest.mark.parametrize("hours", [-24, -1, 1, 24])
def test_the_clock_of_the_host_decides_nothing(server: str, tmp_path: Path, hours: int) -> None:
    context = context_on(server, tmp_path / "data")
    with _emptied(context):
        now = now_of(context.database)
        minute = timedelta(minutes=1)
        add_schedules(
            context.database, 1, cron="* * * * *", next_slot=now.replace(second=0) - minute
        )
        with context.database.session() as session:
            # Due in half an hour, and never before.
            later = now + 30 * minute
        process = start(_wrong_clock, context.database.url, str(context.data.root), hours * 3600)
        process.join(30)
        assert process.exitcode == 0
        end([process])
        with context.database.session() as session:
            run = session.scalars(select(RunRow)).one()
            row = session.scalars(select(ScheduleRow)).one()
        assert run.slot and abs(run.slot - now) < 2 * minute
        assert abs(run.queued_at - now) < minute
        assert row.next_slot and now < row.next_slot < later


def test_a_database_whose_clock_is_stepped_serves_no_slot_twice_and_loses_none(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = add_missed(context.database, 3, slots=1)
    chance, off = random.Random(SEED), timedelta()
    real = scheduler_module.database_now

    def stepped(session: Any) -> datetime:
        return real(session) + off

    monkeypatch.setattr(scheduler_module, "database_now", stepped)
    monkeypatch.setattr(batch, "database_now", stepped)
    scheduler = Scheduler(context)
    for _ in range(40):
        off += timedelta(hours=chance.choice([-1, 1]))
        scheduler.step()
    off = timedelta(days=-1)
    scheduler.step()
    before = assert_each_once(context.database, jobs)
    off = timedelta(hours=1)
    for _ in range(200):
        scheduler.step()
    assert assert_each_once(context.database, jobs) >= max(before, 3 * 360)


def test_runs_that_end_at_the_same_moment_are_followed_once_each_round(
    server: str, tmp_path: Path
) -> None:
    context = context_on(server, tmp_path / "data")
    with _emptied(context):
        *upstream, last = add_schedules(context.database, 4, rule="all_done", overlap="allow")
        with context.database.session() as session:
            rows = [UpstreamRow(job_id=last, upstream_id=one) for one in upstream]
            session.add_all(rows)
        stop, errors = threading.Event(), []
        barrier = threading.Barrier(len(upstream))

        def end_runs(job_id: str) -> None:
            try:
                for number in range(ROUNDS):
                    barrier.wait(30)
                    with context.database.session() as session:
                        run = RunRow(
                            job_id=job_id,
                            version=1,
                            owner="ada",
                            requested_by="ada",
                            state="failed",
                        )
                        session.add(run)
                        session.flush()
                        after.ended(session, run)
                    while _followed(context, last) <= number:
                        assert not stop.wait(0.01)
            except Exception as error:
                errors.append(error)
                barrier.abort()

        def schedule() -> None:
            scheduler = Scheduler(context)
            while not stop.is_set():
                scheduler.step()

        ending = [threading.Thread(target=end_runs, args=(one,)) for one in upstream]
        scheduling = [threading.Thread(target=schedule) for _ in range(2)]
        for thread in (*ending, *scheduling):
            thread.start()
        for thread in ending:
            thread.join(60)
        stop.set()
        for thread in scheduling:
            thread.join(10)
        assert errors == []
        assert _followed(context, last) == ROUNDS
        with context.database.reading() as session:
            found = session.scalars(select(RunRow.upstream).where(RunRow.job_id == last)).all()
        runs = [run for one in found for run in one.values()]
        assert len(runs) == len(set(runs)) == ROUNDS * len(upstream)


def _followed(context: Context, job_id: str) -> int:
    with context.database.reading() as session:
        rows = select(func.count()).select_from(RunRow).where(RunRow.job_id == job_id)
        return session.scalar(rows) or 0

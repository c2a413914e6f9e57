"""A clock is set under running workers and a running database: ±1 h and ±1 day, for real.

What is due goes by the clock, as a calendar does. Leases and limits of time do not.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from perijove.types.jobs import CatchUp, Overlap, Resources, RunState, Schedule
from perijove_hub.context import Context
from perijove_hub.store.clock import database_now
from perijove_hub.store.migrate import upgrade
from perijove_hub.store.models import AuditRow, RunRow, RunTokenRow, ScheduleRow, WorkerRow
from tests.fixtures.faketime import Clock
from tests.fixtures.postgres import Server, server
from tests.fixtures.processes import wait_until
from tests.jobs.conftest import Platform, a_topology
from tests.jobs.nursing import Nursery, end
from tests.jobs.programs import marking, until
from tests.jobs.test_workers import EXPIRY, Site
from tests.jobs.test_workers import site as site

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture(scope="module")
def clock() -> Iterator[Clock]:
    with Clock.faked() as found:
        yield found


@pytest.fixture(scope="module")
def late_nursery(clock: Clock) -> Iterator[Nursery]:
    """Workers, and what they start, that go by ``clock``."""
    with Nursery.running(clock.environment) as found:
        yield found


@pytest.fixture(scope="module")
def database(clock: Clock) -> Iterator[Server]:
    """A PostgreSQL that goes by ``clock``."""
    clock.set(timedelta())
    with server(clock.environment) as found:
        yield found


def patient(marks: Path, go: Path) -> str:
    """Be over at once, but for the job ``patient``, which waits to be told."""
    return marking(marks, f'if [ "$PERIJOVE_JOB" = patient ]; then {until(go)}; fi')


def hourly(platform: Platform, policy: CatchUp) -> str:
    """Make a job that is due each hour at half past now; return its id."""
    schedule = Schedule(every_s=3600, catch_up=policy, overlap=Overlap.allow)
    job = platform.promote(name=f"hourly-{policy}", schedule=schedule)
    with platform.context.database.session() as session:
        row = session.get_one(ScheduleRow, job.id)
        row.anchor = database_now(session).replace(microsecond=0) - HOUR / 2
        row.next_slot = row.anchor + HOUR
    return job.id


def slots(platform: Platform, job_id: str) -> list[int]:
    """Return which of a job's slots have run to a good end; it fails for one that ran twice."""
    with platform.context.database.reading() as session:
        anchor = session.get_one(ScheduleRow, job_id).anchor
        rows = select(RunRow.slot).where(RunRow.job_id == job_id, RunRow.state == "succeeded")
        found = session.scalars(rows.order_by(RunRow.slot)).all()
    assert anchor is not None
    numbers = [round((slot - anchor) / HOUR) for slot in found if slot is not None]
    assert len(set(numbers)) == len(numbers) == len(found)
    return numbers


def test_a_worker_whose_clock_is_set_serves_each_slot_once_and_ends_no_run(
    clock: Clock, late_nursery: Nursery, tmp_path: Path
) -> None:
    clock.set(timedelta())
    context = Context.open(tmp_path / "data", None)
    upgrade(context.database)
    a_topology().save(context.data.run / "topology.json")
    platform, marks, go = Platform(context), tmp_path / "marks", tmp_path / "go"
    jobs = {policy: hourly(platform, policy) for policy in CatchUp}
    limited = Resources(timeout_s=600)
    waiting = platform.run(platform.promote(name="patient", resources=limited))
    probe = platform.promote(name="probe")
    child = late_nursery.worker(context.data.root, tmp_path / "log", patient(marks, go))
    wait_until(marks.exists, seconds=60)

    def looked(number: int) -> bool:
        """Whether the worker has gone through its duties, with one slot more or less."""
        return len(slots(platform, jobs[CatchUp.all])) == number

    probes = []
    # There and back again, and to before the beginning.
    for hours, number in ((1, 1), (0, 1), (24, 24), (0, 24), (-24, 24), (-1, 24)):
        off = hours * HOUR
        clock.set(off)
        wait_until(lambda off=off: _renewed(context, off), seconds=60, what=f"{off} noticed")
        probes.append(platform.run(probe))
        wait_until(lambda number=number: looked(number), seconds=60, what=f"{off}: {number} slots")
        done = probes[-1]
        wait_until(lambda done=done: platform.get(done).state.terminal, seconds=60)
        assert platform.get(waiting).state is RunState.running
        with context.database.reading() as session:
            token = session.scalars(select(RunTokenRow)).one()
        assert token.expires_at > datetime.now(UTC) + off, "the run's token is over"
    go.touch()
    wait_until(lambda: platform.get(waiting).state.terminal, seconds=60)
    end(child, signal.SIGTERM)
    assert slots(platform, jobs[CatchUp.all]) == list(range(1, 25))
    assert slots(platform, jobs[CatchUp.latest]) == [1, 24]
    # They were more than a minute late.
    assert slots(platform, jobs[CatchUp.skip]) == []
    assert {platform.get(run).state for run in (waiting, *probes)} == {RunState.succeeded}
    with context.database.reading() as session:
        everything = session.scalars(select(RunRow)).all()
        ends = session.scalars(select(AuditRow.object).where(AuditRow.verb == "run.end")).all()
    assert {run.attempt for run in everything} == {1}
    assert sorted(marks.read_text().split()) == sorted(run.id for run in everything)
    assert sorted(ends) == sorted(run.id for run in everything)
    context.database.close()


def _renewed(context: Context, off: timedelta) -> bool:
    """Whether the only worker has renewed its lease by the clock as it is now."""
    with context.database.reading() as session:
        expires = session.scalars(select(WorkerRow.expires_at)).one()
    return timedelta() < expires - (datetime.now(UTC) + off) < timedelta(minutes=1)


def test_no_worker_takes_from_another_when_the_databases_clock_is_set_but_from_a_dead_one(
    clock: Clock, site: Site, tmp_path: Path
) -> None:
    marks, go = tmp_path / "marks", tmp_path / "go"
    script = patient(marks, go)
    every = hourly(site.any, CatchUp.all)
    job = site.any.promote(name="patient")
    first = site.worker("a", script)
    mine = site.any.run(job)
    wait_until(lambda: site.any.get(mine).progress.cells_total == 1, seconds=60)
    second = site.worker("b", script)
    wait_until(lambda: site.ready("a") and site.ready("b"), seconds=60)
    epoch = site.runs(mine).epoch

    def between_two_transactions() -> bool:
        if not _in_the_middle(site):
            return True
        # It would hold up the other one as well, by what it has locked: let it go on for a bit.
        os.kill(first, signal.SIGCONT)
        threading.Event().wait(0.05)
        os.kill(first, signal.SIGSTOP)
        return False

    def set_while_the_first_is_held_up(off: timedelta) -> None:
        # Not for as long as its lease lasts, but the other one renews by the new clock before it.
        os.kill(first, signal.SIGSTOP)
        wait_until(between_two_transactions, what="a stop between two transactions")
        clock.set(off)
        wait_until(lambda: _lives(site, "b"), seconds=90)
        assert not _lives(site, "a")
        # As long as it takes to look at every run.
        looks = _looks(site, "b")
        wait_until(lambda: _looks(site, "b") > looks)
        os.kill(first, signal.SIGCONT)
        wait_until(lambda: _lives(site, "a"))

    set_while_the_first_is_held_up(HOUR)
    wait_until(lambda: slots(site.any, every) == [1], seconds=60)
    begin = _now(site)
    wait_until(lambda: _now(site) > begin + timedelta(seconds=1.5 * EXPIRY))
    set_while_the_first_is_held_up(DAY)
    wait_until(lambda: slots(site.any, every) == list(range(1, 25)), seconds=60)
    for off in (DAY - HOUR, -HOUR):
        clock.set(off)
        wait_until(lambda: _lives(site, "a") and _lives(site, "b"))
    found = site.runs(mine)
    assert (found.state, found.attempt, found.epoch) == ("running", 1, epoch)
    # Its lease is an hour from its end by the clock, and it is gone all the same.
    clock.set(-2 * HOUR)
    end(first, signal.SIGKILL)
    wait_until(lambda: site.any.get(mine).state is RunState.lost, what="b takes over")
    assert slots(site.any, every) == list(range(1, 25))
    assert site.ended(mine) == 1
    assert len(marks.read_text().split()) == 25
    go.touch()
    end(second, signal.SIGTERM)
    clock.set(timedelta())


def _now(site: Site) -> datetime:
    with site.any.context.database.reading() as session:
        return database_now(session)


def _in_the_middle(site: Site) -> bool:
    """Whether somebody does not go on in a transaction."""

    def begun() -> set[Any]:
        rows = "SELECT pid, xact_start FROM pg_stat_activity WHERE state = 'idle in transaction'"
        with site.any.context.database.reading() as session:
            return {tuple(row) for row in session.execute(text(rows))}

    first = begun()
    threading.Event().wait(0.1)
    return bool(first & begun())


def _lives(site: Site, name: str) -> bool:
    """Whether a worker's lease holds by the database's clock as it is now."""
    row = site.row(name)
    return row is not None and timedelta() < row.expires_at - _now(site) < timedelta(minutes=1)


def _looks(site: Site, name: str) -> datetime:
    """Return when a worker last did something: it renews several times while a lease lasts."""
    row = site.row(name)
    assert row is not None
    return row.expires_at

"""What is done once for the whole installation is one worker's, until that worker is gone."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path

import pytest
from sqlalchemy import select, text

from perijove_hub import leading
from perijove_hub.context import Context
from perijove_hub.jobs import workers
from perijove_hub.jobs.workers import Lease
from perijove_hub.launch import Phase, Workload
from perijove_hub.launch.local import LocalLauncher
from perijove_hub.launch.workload import Kind
from perijove_hub.leading import Following, Leading
from perijove_hub.store import audit
from perijove_hub.store.migrate import upgrade
from perijove_hub.store.models import AuditRow, WorkerRow
from tests.fixtures.postgres import server
from tests.fixtures.processes import wait_until
from tests.jobs.conftest import a_topology
from tests.jobs.nursing import Nursery, end

EXPIRY = 2.0


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    sqlite = tmp_path_factory.mktemp("store") / "store.sqlite"
    with server() as found:
        url = found.url.replace("postgresql://", "postgresql+psycopg://")
        yield {"postgresql": url, "sqlite": f"sqlite:///{sqlite}"}


class Pair:
    """Two workers, each with a data directory of its own, on one database."""

    def __init__(self, nursery: Nursery, folder: Path, url: str) -> None:
        self._nursery, self._folder = nursery, folder
        config = folder / "perijove.toml"
        config.write_text(f"[store]\ndatabase = '{url}'\nblobs = '{folder / 'blobs'}'\n")
        self.contexts = {name: Context.open(folder / name, config) for name in "ab"}
        for context in self.contexts.values():
            a_topology().save(context.data.run / "topology.json")
        upgrade(self.contexts["a"].database)
        with self.contexts["a"].database.session() as session:
            session.execute(text("delete from audit"))
            session.execute(text("delete from workers"))

    def start(self, name: str) -> int:
        """Start a worker that beats as long as it leads."""
        context = self.contexts[name]
        log = self._folder / f"{name}.log"
        more = {"config": str(context.config), "expiry": EXPIRY, "beats": True}
        return self._nursery.worker(context.data.root, log, "true", **more)

    def beats(self) -> str:
        """Return who did a step, in the order in which the database has them."""
        with self.contexts["a"].database.reading() as session:
            rows = select(AuditRow.actor).where(AuditRow.verb == "beat").order_by(AuditRow.id)
            return "".join(session.scalars(rows))

    def turns(self) -> str:
        """Return who led after whom."""
        return "".join(name for name, _ in groupby(self.beats()))

    def ready(self, name: str) -> bool:
        """Tell whether a worker has held its lease for longer than one lasts."""
        row = self._row(name)
        held = timedelta() if row is None else row.expires_at - row.started_at
        return held > timedelta(seconds=2 * EXPIRY)

    def expires(self, name: str) -> datetime:
        """Return when a worker's lease runs out."""
        row = self._row(name)
        assert row is not None
        return row.expires_at

    def leads_since(self, name: str) -> datetime:
        """Return since when a worker leads."""
        row = self._row(name)
        assert row is not None and row.leads_since is not None
        return row.leads_since

    def _row(self, name: str) -> WorkerRow | None:
        with self.contexts[name].database.reading() as session:
            return session.get(WorkerRow, workers.identity(self.contexts[name].data))


@pytest.fixture(params=["sqlite", "postgresql"])
def pair(
    request: pytest.FixtureRequest, nursery: Nursery, tmp_path: Path, urls: dict[str, str]
) -> Iterator[Pair]:
    found = Pair(nursery, tmp_path, urls[request.param])
    yield found
    for context in found.contexts.values():
        context.database.close()


def test_one_of_two_workers_leads_and_the_other_takes_over_when_it_is_killed(pair: Pair) -> None:
    first = pair.start("a")
    wait_until(lambda: pair.beats() != "")
    second = pair.start("b")
    wait_until(lambda: pair.ready("b"))
    assert pair.turns() == "a"
    end(first, signal.SIGKILL)
    until = pair.expires("a")
    wait_until(lambda: pair.turns() == "ab")
    # Not before its lease has run out, and soon after.
    assert timedelta(0) < pair.leads_since("b") - until < timedelta(seconds=EXPIRY)
    # It comes back, and follows.
    then = pair.expires("a") + timedelta(seconds=EXPIRY)
    first = pair.start("a")
    wait_until(lambda: pair.expires("a") > then)
    assert pair.turns() == "ab"
    for child in (first, second):
        end(child, signal.SIGTERM)


@pytest.mark.parametrize("pair", ["postgresql"], indirect=True)
def test_a_leader_that_was_stopped_in_the_middle_of_a_step_writes_nothing_more(pair: Pair) -> None:
    children = {"a": pair.start("a")}
    wait_until(lambda: pair.beats() != "")
    children["b"] = pair.start("b")
    wait_until(lambda: pair.ready("b"))

    def stopped(name: str, turns: str) -> None:
        os.kill(children[name], signal.SIGSTOP)
        wait_until(lambda: pair.turns() == turns)
        os.kill(children[name], signal.SIGCONT)
        then = pair.expires(name) + timedelta(seconds=EXPIRY)
        wait_until(lambda: pair.expires(name) > then)
        assert pair.turns() == turns

    stopped("a", "ab")
    stopped("b", "aba")
    for child in children.values():
        end(child, signal.SIGTERM)


@pytest.fixture
def two(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> tuple[Lease, Lease]:
    """Make the leases of two workers, of which the first leads."""
    monkeypatch.setattr(workers, "HEARTBEAT", 0.1)
    monkeypatch.setattr(workers, "EXPIRY", 0.6)
    first, second = (Lease(context) for context in pair.contexts.values())
    assert first.keep() and first.lead and not first.follows
    assert second.keep() and not second.lead and second.follows
    return first, second


def test_who_is_cut_off_stops_before_another_begins(
    pair: Pair, two: tuple[Lease, Lease], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = two
    # Long enough that a busy machine does not make up for the distance.
    monkeypatch.setattr(workers, "HEARTBEAT", 0.5)
    monkeypatch.setattr(workers, "EXPIRY", 2.0)
    wait_until(lambda: first.keep() and second.keep() and second.settled)
    since = first.lead
    assert since is not None
    stopped: list[float] = []

    def look() -> None:
        while first.lead:
            time.sleep(0.005)
        stopped.append(time.monotonic())

    # Of its own, because to renew takes a while.
    looking = threading.Thread(target=look)
    looking.start()

    def begun() -> bool:
        second._renew_at = 0.0
        return second.keep() and second.lead is not None

    wait_until(begun, what="the other leads")
    began = time.monotonic()
    looking.join()
    assert stopped[0] < began - 0.2
    with pair.contexts["a"].database.reading() as session:
        assert not first.leading(session, since)
        assert second.lead and second.leading(session, second.lead)
    assert first.keep() and not first.lead and first.follows


def test_who_is_started_again_leads_on_at_once(pair: Pair, two: tuple[Lease, Lease]) -> None:
    first, _ = two
    again = Lease(pair.contexts["a"])
    assert again.keep() and again.lead
    with pair.contexts["a"].database.reading() as session:
        # The process before it writes nothing more.
        assert again.leading(session, again.lead) and not first.leading(session, again.lead)


def test_who_is_to_do_runs_only_gives_the_lead_up_and_never_takes_it(
    pair: Pair, two: tuple[Lease, Lease]
) -> None:
    _, second = two
    again = Lease(pair.contexts["a"], may_lead=False)
    assert again.keep() and not again.lead
    wait_until(lambda: again.keep() and again.settled)
    assert not again.lead and not again.follows
    assert second.keep() and second.lead
    again._renew_at = 0.0
    assert again.keep() and again.follows


def test_after_the_database_was_away_the_same_one_leads(two: tuple[Lease, Lease]) -> None:
    first, second = two
    wait_until(lambda: not first.held and not second.held)
    assert second.keep() and not second.lead
    assert first.keep() and first.lead


class Step:
    """A duty whose step takes a while."""

    name = "step"
    period = 300.0

    def __init__(self, context: Context) -> None:
        self._context = context

    def tick(self) -> None:
        with self._context.database.session() as session:
            audit.record(session, "a", "beat", "")
            self.during()

    def during(self) -> None:
        """Let something happen meanwhile."""


@pytest.mark.parametrize("pair", ["postgresql"], indirect=True)
def test_what_a_step_writes_after_the_lead_is_lost_counts_for_nothing(
    pair: Pair,
    two: tuple[Lease, Lease],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    first, second = two
    duty = Leading(pair.contexts["a"], first, Step)
    duty.tick()
    assert pair.beats() == "a"
    assert duty.period == Step.period
    wait_until(lambda: first.keep() and second.keep() and second.settled)

    def taken_over(_: Step) -> None:
        # This process thinks that no time has passed, as on a machine that slept.
        with pair.contexts["b"].database.session() as session:
            session.get_one(WorkerRow, first.worker).expires_at -= timedelta(seconds=10)
        second._renew_at = 0.0
        assert second.keep() and second.lead and first.lead

    with monkeypatch.context() as patch:
        patch.setattr(Step, "during", taken_over)
        first.keep()
        duty.tick()
    assert pair.beats() == "a"
    assert "this step counts for nothing" in caplog.text
    first._renew_at = 0.0
    duty.tick()
    assert pair.beats() == "a"
    assert duty.period == leading.LOOK


@pytest.mark.parametrize("pair", ["sqlite"], indirect=True)
def test_what_a_worker_still_runs_for_the_whole_is_ended_when_another_leads(
    pair: Pair, two: tuple[Lease, Lease]
) -> None:
    first, second = two
    context = pair.contexts["b"]
    launcher = LocalLauncher(context.data.workloads)
    for kind in ("replica", "kernel", "run"):
        folder = context.data.root / f"of-{kind}"
        folder.mkdir()
        sleep = ("/bin/sleep", "60")
        launcher.start(
            Workload(f"{kind}-1", Kind.task, sleep, directory=folder, labels={"kind": kind})
        )
    duty = Following(context, launcher, second)
    try:

        def looked() -> bool:
            assert first.keep() and second.keep()
            duty.tick()
            return len(launcher.list()) == 1

        wait_until(looked)
        [left] = launcher.list()
        assert (left.name, left.phase) == ("run-1", Phase.running)
    finally:
        launcher.stop("run-1")
        wait_until(lambda: launcher.poll("run-1").phase is not Phase.running)


@pytest.mark.parametrize("pair", ["postgresql"], indirect=True)
def test_who_falls_silent_in_a_transaction_keeps_nobody_waiting_for_ever(pair: Pair) -> None:
    with pair.contexts["a"].database.reading() as session:
        assert session.scalar(text("show idle_in_transaction_session_timeout")) == "1min"

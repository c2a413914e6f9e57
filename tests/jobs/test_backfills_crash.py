"""Workers that are killed while they make a backfill's runs: each is made once."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import select

from perijove.types.backfills import BackfillState, Range, SlotState
from perijove_hub.context import Context
from perijove_hub.jobs.backfills.duty import BackfillDuty
from perijove_hub.paths import DataDir
from perijove_hub.settings import Settings, StoreSettings
from perijove_hub.store.migrate import upgrade
from perijove_hub.store.models import RunRow
from tests.fixtures.postgres import postgres
from tests.jobs.conftest import ADA, Platform, a_topology
from tests.jobs.test_backfills import DAILY, ask, count, end, get, service

WORKER = """
import sys, time
from pathlib import Path
from perijove_hub.context import Context
from perijove_hub.jobs.{noun}s.duty import {duty}
from perijove_hub.paths import DataDir
from perijove_hub.settings import Settings, StoreSettings
settings = Settings(store=StoreSettings(database=sys.argv[2] or None))
duty = {duty}(Context(settings, DataDir.open(Path(sys.argv[1]))))
print("ready", flush=True)
while True:
    duty.tick()
    time.sleep(0.002)
"""
SCRIPT = WORKER.format(noun="backfill", duty="BackfillDuty")


@contextmanager
def on(kind: str, folder: Path) -> Iterator[tuple[Platform, str]]:
    """Give a platform on a database of ``kind`` and its address for other processes."""
    with ExitStack() as stack:
        url = ""
        if kind == "postgresql":
            address = stack.enter_context(postgres())
            url = address.replace("postgresql://", "postgresql+psycopg://")
        settings = Settings(store=StoreSettings(database=url or None))
        context = Context(settings, DataDir.open(folder / "data"))
        stack.callback(context.database.close)
        upgrade(context.database)
        a_topology().save(context.data.run / "topology.json")
        yield Platform(context), url


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_two_workers_that_are_killed_again_and_again_make_each_run_once(
    kind: str, tmp_path: Path
) -> None:
    slots, together = 120, 12
    with on(kind, tmp_path) as (platform, url):
        job = platform.promote(DAILY)
        backfill = ask(
            platform, job, range=Range(parameter="n", start=0, stop=slots), concurrency=together
        )

        def worker() -> subprocess.Popen[str]:
            command = [sys.executable, "-c", SCRIPT, str(platform.context.data.root), url]
            return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

        workers = [worker(), worker()]
        kills, most, chance = 0, 0, random.Random(5)
        deadline = time.monotonic() + 120
        try:
            for one in workers:
                assert one.stdout is not None
                assert one.stdout.readline() == "ready\n"
            while get(platform, backfill).state is BackfillState.running:
                assert time.monotonic() < deadline, get(platform, backfill)
                time.sleep(0.01)
                most = max(most, get(platform, backfill).counts.get(SlotState.queued, 0))
                end(platform.context, only=chance.randrange(1, together))
                if kills < 2 and count(platform.context) > (kills + 1) * slots // 4:
                    # Somewhere in its work, which is nearly all it does.
                    time.sleep(chance.random() * 0.02)
                    victim = workers.pop(0)
                    victim.send_signal(signal.SIGKILL)
                    victim.communicate()
                    workers.append(worker())
                    kills += 1
        finally:
            for one in workers:
                one.kill()
                one.communicate()
        assert kills == 2
        assert most <= together
        with platform.context.database.reading() as session:
            keys = session.scalars(select(RunRow.key)).all()
            values = [one["n"] for one in session.scalars(select(RunRow.parameters))]
        assert sorted(values) == list(range(slots)), "none twice, none left out"
        assert len(set(keys)) == slots
        assert get(platform, backfill).counts == {SlotState.succeeded: slots}
        again = ask(platform, job, range=Range(parameter="n", start=0, stop=9), reprocess="all")
        BackfillDuty(platform.context).tick()
        told = service(platform).cancel(ADA, again.id or "")
        assert told.counts == {SlotState.cancelled: 2, SlotState.unmade: 7}

"""Workers that are killed while they make a backfill's runs: each is made once."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from sqlalchemy import select

from perijove.types.backfills import BackfillState, Range, SlotState
from perijove_hub.jobs.backfills.duty import BackfillDuty
from perijove_hub.store.models import RunRow
from tests.jobs.conftest import ADA
from tests.jobs.mortal_workers import on, two_workers
from tests.jobs.test_backfills import DAILY, ask, count, end, get, service


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

        kills, most, chance = 0, 0, random.Random(5)
        deadline = time.monotonic() + 120
        with two_workers(platform, url, noun="backfill", duty="BackfillDuty", seed=5) as kill_one:
            while get(platform, backfill).state is BackfillState.running:
                assert time.monotonic() < deadline, get(platform, backfill)
                time.sleep(0.01)
                most = max(most, get(platform, backfill).counts.get(SlotState.queued, 0))
                end(platform.context, only=chance.randrange(1, together))
                if kills < 2 and count(platform.context) > (kills + 1) * slots // 4:
                    kill_one()
                    kills += 1
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

"""What the scheduler costs: with many schedules of which few are due, and with many due at once.

    python bench/scheduler.py [--rounds N] [--postgres URL]

Nothing is beside it to compare with: other schedulers keep their slots in memory or are parts of
a platform of their own. The figures are per database, on the machine the report names.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sqlalchemy import func, select

from perijove_hub.context import Context
from perijove_hub.jobs.scheduler import Scheduler
from perijove_hub.store.migrate import upgrade
from perijove_hub.store.models import RunRow
from tests.jobs.scheduling import add_schedules, context_on, now_of

#: Schedules that are not due, and those that are due in one minute.
MANY, DUE = 100_000, 1000
#: Steps that find nothing to do.
IDLE = 50


def seconds(action: Callable[[], object]) -> float:
    """Return how long ``action`` takes."""
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def measure(context: Context) -> dict[str, float]:
    """Fill an empty database and measure the scheduler on it."""
    upgrade(context.database)
    now = now_of(context.database)
    add_schedules(context.database, MANY, cron="0 0 29 2 *", next_slot=now + timedelta(days=300))
    scheduler = Scheduler(context)
    scheduler.step()
    idle = [seconds(scheduler.step) for _ in range(IDLE)]
    due = now.replace(second=0) - timedelta(minutes=1)
    add_schedules(
        context.database, DUE, prefix="due", cron="0 0 29 2 *", next_slot=due, overlap="queue"
    )
    burst = seconds(scheduler.step)
    with context.database.reading() as session:
        made = session.scalar(select(func.count()).select_from(RunRow))
    assert made == DUE, f"{made} runs of {DUE}"
    return {
        f"a step with nothing due of {MANY:,} schedules, ms": statistics.median(idle) * 1000,
        f"{DUE:,} jobs due in one minute: all in the queue after, s": burst,
    }


def main() -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description="What the scheduler costs.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--postgres", help="URL of an empty PostgreSQL, measured too (once)")
    options = parser.parse_args()
    found: dict[str, dict[str, list[float]]] = {}
    for number in range(1, options.rounds + 1):
        print(f"round {number} of {options.rounds}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            context = context_on(f"sqlite:///{folder}/store.sqlite", Path(folder) / "data")
            for figure, value in measure(context).items():
                found.setdefault(figure, {}).setdefault("SQLite", []).append(value)
            context.database.close()
    if options.postgres:
        with tempfile.TemporaryDirectory() as folder:
            context = context_on(options.postgres, Path(folder) / "data")
            for figure, value in measure(context).items():
                found.setdefault(figure, {}).setdefault("PostgreSQL", []).append(value)
            context.database.close()
    databases = list(next(iter(found.values())))
    print("## Scheduler\n")
    print(f"| | {' | '.join(databases)} |")
    print(f"|---|{'---:|' * len(databases)}")
    for figure, values in found.items():
        cells = [
            f"{statistics.median(one):.2f} ({min(one):.2f} to {max(one):.2f})"
            for one in values.values()
        ]
        print(f"| {figure} | {' | '.join(cells)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())

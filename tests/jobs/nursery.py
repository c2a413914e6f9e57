"""Real workers, quickly: a process that has imported everything forks one for each line it reads.

A line is JSON: ``data`` and ``config`` of the worker, ``log``, ``script`` for its runs, and
optionally ``point`` with ``signal``, where it dies, ``expiry`` of its lease in seconds, or
``beats`` where it is to beat as long as it leads. The answer is the worker's process id.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from perijove_hub import worker
from perijove_hub.context import Context
from perijove_hub.jobs import executor, results, starting, workers, workload
from perijove_hub.jobs.duty import JobDuty
from perijove_hub.jobs.executor import Executor
from perijove_hub.launch import local
from perijove_hub.launch.choose import launcher
from perijove_hub.launch.local import LocalLauncher
from perijove_hub.leading import Duty, Following, Leading
from perijove_hub.store import audit
from tests.jobs.programs import described

#: Where a worker can be told to die: the function, and whether before or after it.
POINTS: dict[str, tuple[Any, str, str]] = {
    "token issued, not committed": (executor, "issue_run_token", "after"),
    "claimed": (Executor, "_claim", "after"),
    "scratch prepared": (starting, "ready", "after"),
    "workload described, not started": (LocalLauncher, "_spawn", "before"),
    "started": (LocalLauncher, "start", "after"),
    "recorded": (Executor, "_record_start", "after"),
    "running": (Executor, "_ingest", "after"),
    "ended, not settled": (Executor, "_settle", "before"),
    "blobs stored, not finished": (results.Storing, "judged", "before"),
    "finished, not forgotten": (Executor, "_forget", "before"),
}


def die_at(point: str, number: int) -> None:
    """Have this process signal itself there, and go no further."""
    where, name, when = POINTS[point]
    real: Callable[..., Any] = getattr(where, name)

    @functools.wraps(real)
    def deadly(*arguments: Any, **more: Any) -> Any:
        result = None
        if when == "after":
            result = real(*arguments, **more)
            if name == "_claim" and result is None:
                return None
        os.kill(os.getpid(), number)
        time.sleep(60)
        return result

    setattr(where, name, deadly)


class Beats:
    """A duty for the whole installation: it writes down whose it is."""

    name = "beats"
    period = 0.02

    def __init__(self, context: Context) -> None:
        self._context = context

    def tick(self) -> None:
        """Take a moment in which the process may be stopped."""
        with self._context.database.session() as session:
            audit.record(session, self._context.data.root.name, "beat", "")
            session.flush()
            time.sleep(0.02)


def serve(given: dict[str, Any]) -> None:
    """Be a worker of jobs alone."""
    log = os.open(given["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if "expiry" in given:
        workers.EXPIRY, workers.HEARTBEAT = given["expiry"], given["expiry"] / 8
        workers.LeaseDuty.period = workers.HEARTBEAT / 2
    JobDuty.period = 0.05
    workload.describe = described(given["script"])
    if "point" in given:
        die_at(given["point"], given["signal"])

    def duties(context: Context, **_: Any) -> list[Duty]:
        jobs = JobDuty(context, launcher(context))
        found: list[Duty] = [workers.LeaseDuty(jobs.lease), jobs]
        if "beats" in given:
            found.append(Following(context, launcher(context), jobs.lease))
            found.append(Leading(context, jobs.lease, Beats))
        return found

    worker._duties = duties
    config = Path(given["config"]) if given.get("config") else None
    worker.run(Context.open(Path(given["data"]), config))


def go_by_a_clock_that_is_set() -> None:
    """Have what is started go by libfaketime as well."""

    def sleep(seconds: float) -> None:
        threading.Event().wait(seconds)

    # It refuses to sleep until an instant of a clock that it leaves alone.
    time.sleep = sleep
    local.INHERITED += tuple(name for name in os.environ if "FAKE" in name or name == "LD_PRELOAD")


def main() -> None:
    """Fork until nobody asks any more."""
    # Nobody waits for them but by their id.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    if "FAKETIME_TIMESTAMP_FILE" in os.environ:
        go_by_a_clock_that_is_set()
    print("ready", flush=True)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            code = 1
            try:
                serve(json.loads(line))
                code = 0
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                os._exit(code)
        print(child, flush=True)


if __name__ == "__main__":
    main()

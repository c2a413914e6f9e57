"""Schedules for tests: written as rows, and served by processes that may be killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from perijove_hub.context import Context
from perijove_hub.jobs import batch
from perijove_hub.jobs.scheduler import Scheduler
from perijove_hub.paths import DataDir
from perijove_hub.settings import Settings, StoreSettings
from perijove_hub.store import Database
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import JobRow, JobVersionRow, ScheduleRow

#: Where a scheduler can be killed, and what has happened by then.
POINTS = ("locked", "inserted", "committed")


def context_on(url: str, folder: Path) -> Context:
    """Open a context on the database at ``url``."""
    settings = Settings(store=StoreSettings(database=url))
    return Context(settings, DataDir.open(folder))


def now_of(database: Database) -> datetime:
    """Return the database's time, without fractions of a second."""
    with database.reading() as session:
        return database_now(session).replace(microsecond=0)


def add_schedules(
    database: Database, number: int, *, prefix: str = "job", **values: Any
) -> list[str]:
    """Add jobs with a schedule each, straight into the tables; return their ids."""
    names = [f"{prefix}-{at:06d}" for at in range(number)]
    jobs = [{"id": name, "name": name, "owner": "ada"} for name in names]
    versions = [
        {
            "job_id": name,
            "version": 1,
            "digest": "",
            "notebook_sha256": "0" * 64,
            "parameters": [],
            "created_by": "ada",
        }
        for name in names
    ]
    schedules = [{"job_id": name, **values} for name in names]
    with database.session() as session:
        session.execute(insert(JobRow), jobs)
        session.execute(insert(JobVersionRow), versions)
        session.execute(insert(ScheduleRow), schedules)
    return names


def add_missed(
    database: Database, number: int, *, slots: int, every_s: int = 10, **values: Any
) -> list[str]:
    """Add schedules that have missed ``slots`` slots each."""
    step = timedelta(seconds=every_s)
    begin = now_of(database) - slots * step - step / 2
    policy = {"catch_up": "all", "overlap": "allow"} | values
    first = begin + step
    return add_schedules(database, number, every_s=every_s, anchor=begin, next_slot=first, **policy)


def forkserver() -> ForkServerContext:
    """Return what starts processes quickly: they are forked from one that has imported all."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["tests.jobs.scheduling"])
    return found


def serve_for_ever(url: str, folder: str) -> None:
    """Serve what is due again and again, as a worker does."""
    scheduler = Scheduler(context_on(url, Path(folder)))
    while True:
        scheduler.step()
        time.sleep(0.01)


def serve_until(url: str, folder: str, point: str, number: int) -> None:
    """Serve once, and send this process the signal ``number`` when it has come to ``point``."""

    def die() -> None:
        os.kill(os.getpid(), number)
        time.sleep(60)

    context = context_on(url, Path(folder))
    enqueue, session = batch.enqueue_all, context.database.session

    def killed_at_insert(*args: Any, **kwargs: Any) -> Any:
        if point == "locked":
            die()
        added = enqueue(*args, **kwargs)
        if point == "inserted":
            die()
        return added

    @contextmanager
    def killed_after_commit() -> Iterator[Any]:
        with session() as opened:
            yield opened
        if point == "committed":
            die()

    batch.enqueue_all = killed_at_insert  # type: ignore[assignment]
    context.database.session = killed_after_commit  # type: ignore[method-assign]
    Scheduler(context).step()


def start(target: Any, *args: Any) -> ForkServerProcess:
    """Start a process that does ``target``."""
    process = forkserver().Process(target=target, args=args, daemon=True)
    process.start()
    return process


def end(processes: Sequence[ForkServerProcess]) -> None:
    """Kill what was started."""
    for process in processes:
        if process.is_alive() and process.pid:
            os.kill(process.pid, signal.SIGKILL)
        process.join(10)
        process.close()

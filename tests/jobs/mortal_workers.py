"""Two workers with one duty on one database, killed now and then, each followed by another."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from perijove_hub.context import Context
from perijove_hub.paths import DataDir
from perijove_hub.settings import Settings, StoreSettings
from perijove_hub.store.migrate import upgrade
from tests.fixtures.postgres import postgres
from tests.jobs.conftest import Platform, a_topology

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


@contextmanager
def two_workers(
    platform: Platform, url: str, *, noun: str, duty: str, seed: int
) -> Iterator[Callable[[], None]]:
    """Start them, and give what kills one of them, somewhere in its work."""
    chance = random.Random(seed)
    script = WORKER.format(noun=noun, duty=duty)

    def worker() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", script, str(platform.context.data.root), url]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    workers = [worker(), worker()]

    def kill_one() -> None:
        # Its work is nearly all it does.
        time.sleep(chance.random() * 0.02)
        victim = workers.pop(0)
        victim.send_signal(signal.SIGKILL)
        victim.communicate()
        workers.append(worker())

    try:
        for one in workers:
            assert one.stdout is not None
            assert one.stdout.readline() == "ready\n"
        yield kill_one
    finally:
        for one in workers:
            one.kill()
            one.communicate()

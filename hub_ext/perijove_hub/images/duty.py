"""The worker's part: a thread for each build that runs, and what earlier workers left."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from datetime import timedelta

from perijove_hub.context import Context
from perijove_hub.engine import Names, firewall, network
from perijove_hub.engine.client import EngineDown, answers
from perijove_hub.images import ledger, removal
from perijove_hub.images.builder import Builder, apart, container_name
from perijove_hub.images.workshop import Workshop
from perijove_hub.store.models import BuildRow, ImageVersionRow, utcnow
from perijove_hub.up.exceptions import StartError

log = logging.getLogger(__name__)

#: How long the result of a step is taken again; after that the packages are fetched anew.
KEPT = timedelta(days=7)
#: Seconds between two clean-ups, and after something went wrong with a build.
SWEEP_PERIOD, PAUSE = 3600.0, 5.0
WAITING = "Waits for a Docker engine: none answers."


class BuildDuty:
    """Takes queued builds and carries them out; ``tick`` may be interrupted anywhere."""

    name = "builds"
    period = 0.5

    def __init__(self, context: Context) -> None:
        self._context = context
        self._threads: dict[str, threading.Thread] = {}
        self._epochs: dict[str, int] | None = None
        self._not_before: dict[str, float] = {}
        self._swept = float("-inf")

    def tick(self) -> None:
        """Carry on what runs, begin what waits, and clear up now and then."""
        if self._epochs is None:
            with self._context.database.session() as session:
                taken = {one.id: ledger.adopt(session, one) for one in ledger.running(session)}
            self._epochs = {key: epoch for key, epoch in taken.items() if epoch is not None}
        with self._context.database.reading() as session:
            running = ledger.running(session)
        mine = {one.id: one for one in running if self._epochs.get(one.id) == one.epoch}
        self._epochs = {key: one.epoch for key, one in mine.items()}
        self._threads = {key: one for key, one in self._threads.items() if one.is_alive()}
        for key, build in mine.items():
            if key not in self._threads and time.monotonic() >= self._not_before.get(key, 0):
                self._carry_on(build)
        self._begin(self._context.settings.images.concurrency - len(mine))
        if time.monotonic() - self._swept > SWEEP_PERIOD:
            self._sweep()
            self._swept = time.monotonic()

    def drain(self) -> None:
        """End what runs, for when all of Perijove stops; the next worker begins the step again."""
        shop = Workshop(Names.of(self._context.data.root))
        try:
            for name in shop.containers():
                shop.remove(name)
            if network.remove(apart(self._context)):
                firewall.lift(apart(self._context))
        except (EngineDown, StartError) as error:
            log.warning("builds were not cleared up: %s", error)
        finally:
            shop.close()

    def _begin(self, room: int) -> None:
        """Claim builds that wait, as far as there is room and an engine."""
        if room <= 0:
            return
        with self._context.database.reading() as session:
            waiting = ledger.queued(session, room)
        if waiting and not answers():
            with self._context.database.session() as session:
                for build in waiting:
                    ledger.waits(session, build, WAITING)
            return
        for build in waiting:
            with self._context.database.session() as session:
                epoch = ledger.claim(session, build)
            if epoch is not None and self._epochs is not None:
                self._epochs[build.id] = build.epoch = epoch
                self._carry_on(build)

    def _carry_on(self, build: BuildRow) -> None:
        thread = threading.Thread(
            target=self._carry_out, args=(build,), name=f"build-{build.id}", daemon=True
        )
        self._threads[build.id] = thread
        thread.start()

    def _carry_out(self, build: BuildRow) -> None:
        try:
            with self._context.database.reading() as session:
                version = session.get_one(ImageVersionRow, (build.image_id, build.version))
            Builder(self._context, build, version).carry_out()
        except EngineDown as error:
            log.warning("build %s waits: %s", build.id, error)
            self._not_before[build.id] = time.monotonic() + PAUSE
        except Exception:
            log.exception("build %s: will be carried on", build.id)
            self._not_before[build.id] = time.monotonic() + PAUSE

    def _sweep(self) -> None:
        """Remove what no build needs: containers, folders of logs, and old steps."""
        # Containers before the database: one unknown there is then really unknown.
        names = Names.of(self._context.data.root)
        shop = Workshop(names)
        try:
            found = shop.containers()
            with self._context.database.reading() as session:
                running = {one.id for one in ledger.running(session)}
            wanted = {container_name(self._context, key, n) for key in running for n in range(9)}
            for name in found:
                if name not in wanted:
                    shop.remove(name)
            if dropped := shop.forget_steps(utcnow() - KEPT):
                log.info("dropped %d steps of builds older than %d days", dropped, KEPT.days)
            # A build that runs may stand on a kept step of what is retired; none begins meanwhile.
            if not running:
                removal.remove_unused(self._context, shop)
        except EngineDown:
            return
        finally:
            shop.close()
        root = self._context.data.root / "builds"
        for folder in root.iterdir() if root.is_dir() else ():
            if folder.name not in running:
                shutil.rmtree(folder, ignore_errors=True)

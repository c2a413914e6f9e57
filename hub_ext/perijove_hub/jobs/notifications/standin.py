"""Where no worker lives, the API tells what is late: nobody else could."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta

from sqlalchemy import select

from perijove_hub.context import Context
from perijove_hub.jobs.notifications.duty import NotificationDuty
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import WorkerRow

log = logging.getLogger(__name__)

#: Seconds between two looks, and after a worker's lease until its work is done here.
LOOK, PATIENCE = 15.0, timedelta(seconds=30)


class StandIn:
    """Sends messages while no worker does; with one it only looks."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._duty = NotificationDuty(context)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="notifications", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End; a message that is being sent is not waited for."""
        self._stopping.set()
        self._thread.join(5)

    def tick(self) -> None:
        """Do a worker's step, unless one lives."""
        with self._context.database.reading() as session:
            lately = database_now(session) - PATIENCE
            lives = session.scalar(select(WorkerRow.id).where(WorkerRow.expires_at > lately))
        if lives is None:
            self._duty.tick()

    def _work(self) -> None:
        while not self._stopping.wait(LOOK):
            try:
                self.tick()
            except Exception:
                log.exception("messages could not be sent; trying again in %.0f s", LOOK)

"""What is done once for the whole installation: by the one worker that leads.

A step is begun only while this worker leads for some time yet, and what it writes counts only if
it still leads at the end of the transaction. What a worker that was cut off still does by then
touches its own machine alone, where it ends what another has taken over.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from sqlalchemy.orm import Session

from perijove_hub.context import Context
from perijove_hub.jobs.workers import Lease, LeaseLost
from perijove_hub.launch import Launcher, Phase

log = logging.getLogger(__name__)

#: Seconds between two looks whether this worker leads by now.
LOOK = 1.0
#: Labels of what runs where the worker that leads is.
KINDS = ("replica", "kernel")


class Duty(Protocol):
    """Work that is done again and again; it must bear being killed anywhere."""

    name: str

    @property
    def period(self) -> float:
        """Seconds between two steps."""

    def tick(self) -> None:
        """Do one step."""


class Leading:
    """Does a duty only while this worker leads; made anew each time that it begins to."""

    def __init__(self, context: Context, lease: Lease, make: Callable[[Context], Duty]) -> None:
        self._context = context
        self._lease = lease
        self._make = make
        self._duty = make(context)
        self._since: datetime | None = None
        self.name = self._duty.name

    @property
    def period(self) -> float:
        """The duty's own, or how soon to look again."""
        return min(LOOK, self._duty.period) if self._lease.lead is None else self._duty.period

    def tick(self) -> None:
        """Do the duty's step, if it is this worker's."""
        self._lease.keep()
        since = self._lease.lead
        if since is None:
            return
        if since != self._since:
            # What it remembers may be over: others may have led meanwhile.
            self._duty, self._since = self._make(_fenced(self._context, self._lease, since)), since
        try:
            self._duty.tick()
        except LeaseLost:
            log.warning("%s: another worker leads by now: this step counts for nothing", self.name)


class Following:
    """Ends what was left on this machine when another worker took the lead.

    That one has recorded it as lost and begun it anew where it is. Job runs are no part of this.
    """

    name = "following"
    period = LOOK

    def __init__(self, context: Context, launcher: Launcher, lease: Lease) -> None:
        self._context = context
        self._launcher = launcher
        self._lease = lease
        self._done = False
        self._told: set[str] = set()

    def tick(self) -> None:
        """Look until nothing is left."""
        if not self._lease.keep() or not self._lease.follows:
            self._done = False
            return
        if not self._done:
            self._done = self._nothing_left()

    def _nothing_left(self) -> bool:
        found = [one for one in self._launcher.list() if one.labels.get("kind") in KINDS]
        self._told &= {one.name for one in found}
        for status in found:
            if status.phase is not Phase.running:
                self._launcher.remove(status.name)
            elif status.name not in self._told:
                log.info("another worker leads: ending %s", status.name)
                self._told.add(status.name)
                self._launcher.stop(status.name)
        if not found and self._context.topology.spawner == "docker":
            from perijove_hub.images.duty import BuildDuty
            from perijove_hub.pool.duty import PoolDuty

            BuildDuty(self._context).drain()
            PoolDuty(self._context).abandon()
        return not found


def _fenced(context: Context, lease: Lease, since: datetime) -> Context:
    """Return a context in which nothing can be written once this worker leads no more."""

    def check(session: Session) -> None:
        if not lease.leading(session, since):
            raise LeaseLost

    found = Context(context.settings, context.data, context.config)
    found.database = context.database.guarded(check)
    return found

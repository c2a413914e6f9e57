"""When an idle workspace is warned and shut off: times in, a state out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from perijove.types.culling import Idleness

#: Seconds a workspace gets for its checkpoints before it is stopped.
CHECKPOINTS = timedelta(seconds=60)


@dataclass(frozen=True)
class Times:
    """What is known of one workspace."""

    active_at: datetime
    idle: timedelta
    """How long it may be idle."""
    warning: timedelta
    """How long before its end it is warned."""
    warned_at: datetime | None = None
    keep_until: datetime | None = None

    @property
    def counts_from(self) -> datetime:
        """The start of the idle time: activity, or the end of what the user asked for."""
        if self.keep_until is None:
            return self.active_at
        return max(self.active_at, self.keep_until - self.idle)

    @property
    def shut_off_at(self) -> datetime:
        """When it ends if nothing happens; never sooner than a whole warning after it."""
        due = self.counts_from + self.idle
        if self.warned_at is None or self.warned_at < self.counts_from:
            return due
        return max(due, self.warned_at + self.warning)

    def state(self, now: datetime) -> Idleness:
        """Say where it is at ``now``; shutting off takes a warning that was long enough ago."""
        if now < self.counts_from + self.idle - self.warning:
            return Idleness.active if now - self.active_at < self.warning else Idleness.idle
        warned = self.warned_at is not None and self.warned_at >= self.counts_from
        if warned and now >= self.shut_off_at:
            return Idleness.stopping
        return Idleness.warned

"""How much a group may use within a rolling window, and what is said when it has."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from perijove_hub.settings import Settings, SizeSettings
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import LoginRow, PrincipalRow, UsageRow
from perijove_hub.usage.totals import Stretch, stretches

#: What a quota can limit, as people read it.
MEASURES = {"hours": "hours", "gpu_hours": "GPU-hours", "cost": "cost"}


@dataclass(frozen=True)
class Standing:
    """How a group stands with one of its limits."""

    group: str
    measure: str
    """``hours``, ``gpu_hours`` or ``cost``."""
    used: float
    limit: float
    period_days: int
    below_at: datetime | None
    """When it is below the limit again if nothing more runs; null when it is, or never is."""

    @property
    def over(self) -> bool:
        """Whether nothing more may start."""
        return self.used >= self.limit

    def counts(self, *, gpus: float, price: float) -> bool:
        """Tell whether something of this size and price adds to this measure."""
        return {"hours": True, "gpu_hours": gpus > 0, "cost": price > 0}[self.measure]

    def sentence(self, currency: str) -> str:
        """Say it with figures, for the user."""
        unit = currency if self.measure == "cost" else MEASURES[self.measure]
        text = (
            f"Group '{self.group}' has used {_figure(self.used)} of its {_figure(self.limit)} "
            f"{unit} in {self.period_days} days."
        )
        if self.below_at is None:
            return f"{text} An administrator can raise the limit."
        return f"{text} It is below the limit again on {self.below_at:%d %B %Y at %H:%M} UTC."


def check(
    session: Session,
    settings: Settings,
    *,
    user: str,
    group: str | None,
    size: str | None,
) -> str | None:
    """Say why ``user`` may not start something of ``size`` for ``group``; ``None`` if they may.

    ``size`` is a name of ``[workspaces.sizes]``; null, and a name that is gone, counts as one
    without GPUs and price. A group without a quota, and no group, may use anything.
    """
    chosen = settings.workspaces.sizes.get(size or "", SizeSettings())
    for standing in standings(session, settings, group):
        if standing.over and standing.counts(gpus=chosen.gpus, price=chosen.price):
            return standing.sentence(settings.usage.currency)
    return None


def standings(session: Session, settings: Settings, group: str | None) -> list[Standing]:
    """Return how a group stands with each of its limits; none for a group without."""
    quota = settings.usage.quotas.get(group or "")
    if quota is None or group is None:
        return []
    now = database_now(session)
    days = settings.usage.period_days
    window = timedelta(days=days)
    # A clock that was set back leaves stretches in the future; they count all the same.
    ran = stretches(session, now - window, now + window, UsageRow.group == group)
    found = []
    for measure in MEASURES:
        limit: float | None = getattr(quota, measure)
        if limit is None:
            continue
        used = _used(ran, measure, now - window)
        below = _leaves(ran, measure, limit, now - window) if used >= limit else None
        found.append(Standing(group, measure, used, limit, days, below + window if below else None))
    return found


def stops_at(settings: Settings, row: UsageRow) -> datetime | None:
    """Return when something that was warned is stopped, unless its group is below by then."""
    grace = timedelta(minutes=settings.usage.grace_minutes)
    return row.warned_at + grace if row.warned_at is not None else None


def unknown_groups(session: Session, settings: Settings) -> dict[str, str | None]:
    """Return the groups with a quota that nobody is known to be in, each with the nearest one."""
    members: list[list[Any]] = [
        *session.scalars(select(LoginRow.groups)),
        *session.scalars(select(PrincipalRow.groups)),
    ]
    known = {str(name) for groups in members for name in groups}
    return {
        name: next(iter(difflib.get_close_matches(name, known, n=1)), None)
        for name in settings.usage.quotas
        if name not in known
    }


def _used(ran: Sequence[Stretch], measure: str, start: datetime) -> float:
    total = 0.0
    for stretch in ran:
        total += float(getattr(stretch.within(start, stretch.end), measure))
    return total


def _leaves(ran: Sequence[Stretch], measure: str, limit: float, start: datetime) -> datetime | None:
    """Find the start of the window from which on less than ``limit`` is left in it.

    What is left falls in straight lines between the stretches' ends, so the line that crosses
    the limit gives the instant.
    """
    if limit <= 0:
        return None
    corners = sorted({start} | {at for s in ran for at in (s.start, s.end) if at > start})
    before, left_before = start, _used(ran, measure, start)
    for corner in corners[1:]:
        left = _used(ran, measure, corner)
        if left < limit:
            part = (left_before - limit) / (left_before - left)
            return before + (corner - before) * part
        before, left_before = corner, left
    return None


def _figure(value: float) -> str:
    """Write 12.34 and 3, never 3.0 or 1e-05."""
    return f"{value:.2f}".rstrip("0").rstrip(".")

"""Hours and cost of stretches, cut to a span of time and at UTC midnights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from perijove_hub.store.models import UsageRow


@dataclass(frozen=True)
class Stretch:
    """What is needed of a row to count it; ``end`` is when it ended or was last seen."""

    kind: str
    user: str
    group: str | None
    image: str
    gpus: float
    price: float
    start: datetime
    end: datetime

    def within(self, start: datetime, end: datetime) -> Amount:
        """Count the part between two instants."""
        seconds = (min(self.end, end) - max(self.start, start)).total_seconds()
        hours = max(0.0, seconds) / 3600
        return Amount(hours, hours * self.gpus, hours * self.price)

    def days(self, start: datetime, end: datetime) -> Iterator[tuple[str, Amount]]:
        """Cut the part between two instants at midnights; yields days as ``2026-11-21``."""
        at, last = max(self.start, start), min(self.end, end)
        while at < last:
            midnight = at.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
            yield at.date().isoformat(), self.within(at, min(midnight, last))
            at = midnight


@dataclass(frozen=True)
class Amount:
    """Hours, hours times GPUs, and hours times the price they began with."""

    hours: float = 0.0
    gpu_hours: float = 0.0
    cost: float = 0.0

    def __add__(self, other: Amount) -> Amount:
        return Amount(
            self.hours + other.hours, self.gpu_hours + other.gpu_hours, self.cost + other.cost
        )


def stretches(
    session: Session, start: datetime, end: datetime, *conditions: ColumnElement[bool]
) -> Sequence[Stretch]:
    """Return what ran between two instants, oldest first."""
    until = func.coalesce(UsageRow.ended_at, UsageRow.seen_at)
    rows = session.execute(
        select(
            UsageRow.kind,
            UsageRow.user,
            UsageRow.group,
            UsageRow.image,
            UsageRow.gpus,
            UsageRow.price,
            UsageRow.started_at,
            UsageRow.ended_at,
            UsageRow.seen_at,
        )
        .where(UsageRow.started_at < end, until > start, *conditions)
        .order_by(UsageRow.started_at)
    )
    return [Stretch(*row[:-2], row.ended_at or row.seen_at) for row in rows]

"""What the administrators' page shows, gathered in one reading transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from perijove.types.base import Principal
from perijove.types.gpus import GpuInventory
from perijove.types.usage import QuotaStanding, UsageSum
from perijove_hub.context import Context
from perijove_hub.gpus import service as gpus
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import AuditRow, UsageRow
from perijove_hub.usage.charts import NOBODY
from perijove_hub.usage.service import as_sum, span, standings
from perijove_hub.usage.totals import Amount, Stretch, stretches

#: Entries of the audit log on one page.
ENTRIES = 30
#: Users in the list of those who cost most.
TOP = 8
#: Rows of what runs now.
RUNNING = 50
#: Filters of the audit log that stand for several verbs.
STARTS = "starts"

_STARTS = ("%.start", "%.create", "%.restart", "model.%", "deployment.%")


@dataclass(frozen=True)
class Filter:
    """Which entries of the audit log to show."""

    actor: str = ""
    verb: str = STARTS
    object: str = ""
    before: int | None = None
    """Only older ones than this number."""


@dataclass(frozen=True)
class Running:
    """One thing that runs now."""

    row: UsageRow
    hours: float
    cost: float


@dataclass(frozen=True)
class Quota:
    """A limit of a group's."""

    group: str
    standing: QuotaStanding
    percent: float
    """0 to 100, to draw it."""


@dataclass(frozen=True)
class Entry:
    """One line of the audit log."""

    row: AuditRow
    image: str
    digest: str
    more: str


@dataclass(frozen=True)
class Overview:
    """Everything on the page."""

    at: datetime
    days: Sequence[date]
    currency: str
    period_days: int
    total: UsageSum
    cost: dict[str, dict[str, float]]
    """Day → group → cost."""
    hours: dict[str, dict[str, float]]
    groups: Sequence[UsageSum]
    users: Sequence[UsageSum]
    gpus: GpuInventory
    running: Sequence[Running]
    running_count: int
    quotas: Sequence[Quota]
    entries: Sequence[Entry]
    older: int | None
    verbs: Sequence[str]
    filter: Filter


def gather(context: Context, principal: Principal, *, days: int, shown: Filter) -> Overview:
    """Collect the last ``days`` UTC days and the present."""
    settings = context.settings
    with context.database.reading() as session:
        now = database_now(session)
        today = now.astimezone(UTC).date()
        start, end = span(today - timedelta(days=days - 1), today)
        ran = stretches(session, start, end)
        cost, hours = _by_day(ran, start, end)
        open_ = session.scalars(
            select(UsageRow).where(UsageRow.ended_at.is_(None)).order_by(UsageRow.started_at)
        ).all()
        entries, older = _audit(session, shown)
        return Overview(
            at=now,
            days=[today - timedelta(days=days - 1 - at) for at in range(days)],
            currency=settings.usage.currency,
            period_days=settings.usage.period_days,
            total=as_sum(None, (one.within(start, end) for one in ran)),
            cost=cost,
            hours=hours,
            groups=_sums(ran, start, end, "group"),
            users=_sums(ran, start, end, "user")[:TOP],
            gpus=gpus.show(context, principal),
            running=[_running(row) for row in open_[:RUNNING]],
            running_count=len(open_),
            quotas=[
                Quota(group, one, min(100.0, 100 * one.used / one.limit if one.limit else 100.0))
                for group in sorted(settings.usage.quotas)
                for one in standings(session, settings, group)
            ],
            entries=entries,
            older=older,
            verbs=session.scalars(select(AuditRow.verb).distinct().order_by(AuditRow.verb)).all(),
            filter=shown,
        )


def _by_day(
    ran: Sequence[Stretch], start: datetime, end: datetime
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    cost: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    hours: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for stretch in ran:
        for day, amount in stretch.days(start, end):
            cost[day][stretch.group or NOBODY] += amount.cost
            hours[day][stretch.group or NOBODY] += amount.hours
    return cost, hours


def _sums(ran: Sequence[Stretch], start: datetime, end: datetime, by: str) -> list[UsageSum]:
    found: dict[str, list[Amount]] = defaultdict(list)
    for stretch in ran:
        found[getattr(stretch, by) or NOBODY].append(stretch.within(start, end))
    sums = [as_sum(key, amounts) for key, amounts in found.items()]
    return sorted(sums, key=lambda one: (-one.cost, -one.hours, one.key or ""))


def _running(row: UsageRow) -> Running:
    hours = (row.seen_at - row.started_at).total_seconds() / 3600
    return Running(row, hours, hours * row.price)


def _audit(session: Session, shown: Filter) -> tuple[list[Entry], int | None]:
    rows = select(AuditRow).order_by(AuditRow.id.desc()).limit(ENTRIES + 1)
    if shown.verb == STARTS:
        rows = rows.where(or_(*[AuditRow.verb.like(pattern) for pattern in _STARTS]))
    elif shown.verb:
        rows = rows.where(AuditRow.verb == shown.verb)
    if shown.actor:
        rows = rows.where(AuditRow.actor == shown.actor)
    if shown.object:
        rows = rows.where(AuditRow.object.icontains(shown.object, autoescape=True))
    if shown.before is not None:
        rows = rows.where(AuditRow.id < shown.before)
    found = session.scalars(rows).all()
    older = found[ENTRIES - 1].id if len(found) > ENTRIES else None
    return [_entry(row) for row in found[:ENTRIES]], older


def _entry(row: AuditRow) -> Entry:
    detail: dict[str, Any] = dict(row.detail)
    image = str(detail.pop("image", None) or "")
    digest = str(detail.pop("digest", None) or "").removeprefix("sha256:")
    more = " · ".join(f"{key} {_short(value)}" for key, value in detail.items() if value)
    return Entry(row, image, digest[:12], more)


def _short(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 120 else f"{text[:119]}…"

"""Reports of usage: one's own, one's groups' totals, and everything for administrators."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import ColumnElement, false, select, true
from sqlalchemy.orm import Session

from perijove.types.base import Principal
from perijove.types.usage import (
    GroupUsage,
    MyUsage,
    QuotaStanding,
    RunningUsage,
    UsageBy,
    UsageReport,
    UsageSum,
)
from perijove_hub.context import Context
from perijove_hub.exceptions import Invalid
from perijove_hub.settings import Settings
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import UsageRow
from perijove_hub.usage import quotas
from perijove_hub.usage.totals import Amount, Stretch, stretches

#: Most days in one report.
MOST_DAYS = 366


class UsageService:
    """Answers who used what."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def report(
        self, principal: Principal, *, by: UsageBy, first: date | None, last: date | None
    ) -> UsageReport:
        """Add up what ran from ``first`` to ``last``, UTC days that both belong to it.

        Left out, they are the last days that a quota looks at. Raises ``Invalid``.
        """
        settings = self._context.settings
        with self._context.database.reading() as session:
            today = database_now(session).date()
            last = last or today
            first = first or min(last, today) - timedelta(days=settings.usage.period_days - 1)
            start, end = span(first, last)
            ran = stretches(session, start, end, whose(principal))
            return UsageReport(
                first=first,
                last=last,
                currency=settings.usage.currency,
                by=by,
                items=_items(ran, by, start, end),
                total=as_sum(None, (one.within(start, end) for one in ran)),
                groups=_groups(session, settings, principal, ran, start, end),
            )

    def mine(self, principal: Principal) -> MyUsage:
        """Return what of the caller's runs now, and what it has cost."""
        settings = self._context.settings
        with self._context.database.reading() as session:
            own = UsageRow.user == principal.name if _somebody(principal) else false()
            rows = session.scalars(
                select(UsageRow)
                .where(own, UsageRow.ended_at.is_(None))
                .order_by(UsageRow.started_at, UsageRow.id)
            ).all()
            running = [_running(session, settings, row) for row in rows]
        return MyUsage(
            currency=settings.usage.currency,
            cost=round(sum(one.cost for one in running), 4),
            running=running,
        )


def span(first: date, last: date) -> tuple[datetime, datetime]:
    """Return the instants between which some UTC days lie. Raises ``Invalid``."""
    if first > last:
        raise Invalid(
            f"The days run from {first} to {last}, which is before it.",
            field="from",
            fix="Swap the two.",
        )
    if (last - first).days >= MOST_DAYS:
        raise Invalid(
            f"{(last - first).days + 1} days are too many for one report.",
            field="from",
            fix=f"Ask for at most {MOST_DAYS}.",
        )
    if last == date.max:
        raise Invalid(f"There is no day after {last}.", field="to", fix="Write an earlier day.")
    start = datetime.combine(first, time(), tzinfo=UTC)
    return start, datetime.combine(last + timedelta(days=1), time(), tzinfo=UTC)


def whose(principal: Principal) -> ColumnElement[bool]:
    """The condition that keeps what the caller may see one by one."""
    if not _somebody(principal):
        return false()
    return true() if principal.admin else UsageRow.user == principal.name


def as_sum(key: str | None, amounts: Iterable[Amount]) -> UsageSum:
    """Add amounts up; rounded to a hundredth of a cent and to a few seconds."""
    total = sum(amounts, start=Amount())
    return UsageSum(
        key=key,
        hours=round(total.hours, 4),
        gpu_hours=round(total.gpu_hours, 4),
        cost=round(total.cost, 4),
    )


def standings(session: Session, settings: Settings, group: str) -> list[QuotaStanding]:
    """Return how a group stands with each of its limits."""
    return [
        QuotaStanding(
            measure=one.measure,
            used=round(one.used, 4),
            limit=one.limit,
            over=one.over,
            below_at=one.below_at,
        )
        for one in quotas.standings(session, settings, group)
    ]


def _somebody(principal: Principal) -> bool:
    """Tell whether the caller is a user: a service may have the name of one."""
    return principal.kind in ("user", "run")


def _items(ran: Sequence[Stretch], by: UsageBy, start: datetime, end: datetime) -> list[UsageSum]:
    found: dict[str | None, list[Amount]] = defaultdict(list)
    for stretch in ran:
        if by is UsageBy.day:
            for day, amount in stretch.days(start, end):
                found[day].append(amount)
        else:
            found[getattr(stretch, by.value) or None].append(stretch.within(start, end))
    items = [as_sum(key, amounts) for key, amounts in found.items()]
    if by is UsageBy.day:
        return sorted(items, key=lambda item: item.key or "")
    return sorted(items, key=lambda item: (-item.cost, -item.hours, item.key or ""))


def _groups(
    session: Session,
    settings: Settings,
    principal: Principal,
    ran: Sequence[Stretch],
    start: datetime,
    end: datetime,
) -> list[GroupUsage]:
    if not _somebody(principal):
        return []
    if principal.admin:
        names = {one.group for one in ran if one.group} | settings.usage.quotas.keys()
    else:
        names = set(principal.groups)
        ran = stretches(session, start, end, UsageRow.group.in_(names))
    of: dict[str | None, list[Amount]] = defaultdict(list)
    for stretch in ran:
        of[stretch.group].append(stretch.within(start, end))
    return [
        GroupUsage(
            group=name,
            total=as_sum(name, of[name]),
            quotas=standings(session, settings, name),
        )
        for name in sorted(names)
    ]


def _running(session: Session, settings: Settings, row: UsageRow) -> RunningUsage:
    hours = (row.seen_at - row.started_at).total_seconds() / 3600
    warning = None
    if row.warned_at is not None:
        over = (one for one in quotas.standings(session, settings, row.group) if one.over)
        why = next((one for one in over if one.counts(gpus=row.gpus, price=row.price)), None)
        warning = why.sentence(settings.usage.currency) if why is not None else None
    return RunningUsage(
        kind=row.kind,
        object=row.object,
        image=row.image,
        size=row.size,
        gpus=row.gpus,
        price=row.price,
        started_at=row.started_at,
        hours=round(hours, 4),
        cost=round(hours * row.price, 4),
        warning=warning,
        stops_at=quotas.stops_at(settings, row) if warning else None,
    )

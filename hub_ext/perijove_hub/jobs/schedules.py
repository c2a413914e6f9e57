"""Set, remove, check and preview the schedule of a job."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from difflib import get_close_matches
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from perijove.types.base import Principal
from perijove.types.jobs import Follow, Schedule, SchedulePreview
from perijove_hub.access import may_read_source, may_see
from perijove_hub.context import Context
from perijove_hub.exceptions import Conflict, Invalid
from perijove_hub.jobs import datasets, schedule, versions, wire, words
from perijove_hub.jobs import slots as clock
from perijove_hub.jobs.values import submitted
from perijove_hub.store import audit
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import DatasetRow, JobRow, ScheduleRow, UpstreamRow
from perijove_hub.store.turns import take_turn

#: Fields of which a schedule has exactly one.
KINDS = ("cron", "every_s", "after", "dataset")
#: Shortest and longest interval, seconds.
MIN_S, MAX_S = 10, 366 * 86_400
#: Slots in a preview.
SHOWN = 10


def put(
    session: Session, context: Context, principal: Principal, job: JobRow, wanted: Schedule
) -> None:
    """Set a job's schedule; raises ``Invalid`` for anything wrong in ``wanted``.

    What was due and is not yet served stays due when only other things change. What is paused as
    it stands is not looked at: what is wrong with it by now is seen when it is resumed.
    """
    if wanted.paused and _pause(session, job, wanted):
        return
    check(wanted)
    upstream = _upstream(session, principal, wanted)
    dataset = _dataset(session, context, principal, wanted)
    values = _values(session, job, wanted)
    now = database_now(session).replace(microsecond=0)
    row = session.get(ScheduleRow, job.id, with_for_update=True)
    if row is None:
        row = ScheduleRow(job_id=job.id)
        session.add(row)
    before = (row.cron, row.timezone, row.every_s, row.dataset, row.paused)
    if row.every_s != wanted.every_s:
        row.anchor = now if wanted.every_s is not None else None
    if row.dataset != wanted.dataset:
        row.dataset_seen = datasets.state(dataset) if dataset is not None else None
    row.cron, row.timezone, row.every_s = wanted.cron, wanted.timezone, wanted.every_s
    row.dataset, row.rule, row.paused = wanted.dataset, wanted.rule.value, wanted.paused
    row.version = wanted.version if isinstance(wanted.version, int) else None
    row.follow = (Follow.latest if isinstance(wanted.version, int) else wanted.version).value
    row.catch_up, row.catch_up_window_s = wanted.catch_up.value, wanted.catch_up_window_s
    row.overlap, row.parameters = wanted.overlap.value, values
    if before != (row.cron, row.timezone, row.every_s, row.dataset, row.paused):
        row.next_slot = _next(row, now)
    session.flush()
    _follow(session, principal, job, upstream, paused=wanted.paused)


def changed(
    session: Session, job: JobRow, change: Schedule, *, seen: dict[str, Any] | None
) -> Schedule:
    """Return a job's schedule with what ``change`` names; the rest stays as it is.

    Another way to be due takes the place of the one before, and of what goes only with that.
    Raises ``Conflict`` when its parameters are no longer those that the caller has ``seen``.
    """
    row = session.get(ScheduleRow, job.id, with_for_update=True)
    if seen is not None and seen != (row.parameters if row is not None else {}):
        raise Conflict(
            f"The parameters of the schedule of '{job.name}' were changed by somebody else "
            "meanwhile, so nothing was saved.",
            field="schedule.parameters",
            fix="Look at them as they are now, and make the change again.",
        )
    if row is None:
        return change
    fields = _fields(session, row)
    named = {name: getattr(change, name) for name in change.model_fields_set}
    kinds = [kind for kind in KINDS if named.get(kind) not in (None, [])]
    if kinds and not fields[kinds[0]]:
        for name in (*KINDS, "timezone", "rule"):
            del fields[name]
    return Schedule.model_validate(fields | named)


def _pause(session: Session, job: JobRow, wanted: Schedule) -> bool:
    """Pause a job's schedule; say whether ``wanted`` is the one it has."""
    row = session.get(ScheduleRow, job.id, with_for_update=True)
    if row is None or wanted != Schedule.model_validate({**_fields(session, row), "paused": True}):
        return False
    row.paused, row.next_slot = True, None
    # What ends while it is paused is not followed, so neither is what ended before.
    session.execute(update(UpstreamRow).where(UpstreamRow.job_id == job.id).values(run_id=None))
    return True


def _fields(session: Session, row: ScheduleRow) -> dict[str, Any]:
    """Return a job's schedule as a client writes it."""
    upstream = session.scalars(
        select(UpstreamRow.upstream_id)
        .where(UpstreamRow.job_id == row.job_id)
        .order_by(UpstreamRow.upstream_id)
    )
    state = wire.schedule(row, upstream.all())
    return {name: getattr(state, name) for name in Schedule.model_fields}


def remove(session: Session, job_id: str) -> None:
    """Remove a job's schedule, if it has one."""
    session.execute(delete(UpstreamRow).where(UpstreamRow.job_id == job_id))
    found = session.get(ScheduleRow, job_id)
    if found is not None:
        session.delete(found)


def leave(session: Session, job: JobRow) -> None:
    """Pause the jobs that follow ``job``, which is deleted: it will never end a run again."""
    followers = session.scalars(
        select(ScheduleRow)
        .join(UpstreamRow, UpstreamRow.job_id == ScheduleRow.job_id)
        .where(UpstreamRow.upstream_id == job.id, ScheduleRow.paused.is_(False))
        .order_by(ScheduleRow.job_id)
        .with_for_update(of=ScheduleRow)
    ).all()
    for row in followers:
        row.paused, row.next_slot = True, None
        because = f"'{job.name}', after which it runs, was deleted"
        audit.record(session, "scheduler", "schedule.pause", row.job_id, because=because)


def fits(session: Session, job: JobRow) -> None:
    """See that a job's schedule, if it has one, fits its newest version; raises ``Invalid``."""
    kept = session.get(ScheduleRow, job.id)
    if kept is not None and kept.version is None and kept.follow == Follow.latest:
        latest = wire.latest_version(session, job.id)
        parameters, owner = wire.parameters(latest), latest.created_by
        submitted(session, owner, parameters, kept.parameters, field="schedule.parameters")


def check(wanted: Schedule) -> None:
    """Refuse a schedule that is none, or two at once; raises ``Invalid``."""
    given = [kind for kind in KINDS if getattr(wanted, kind) not in (None, [])]
    if not given:
        raise Invalid(
            "The schedule does not say when it is due.",
            field="schedule",
            fix="Set one of cron, every_s, after and dataset, such as cron '0 6 * * *'.",
        )
    if len(given) > 1:
        said = " and ".join(f"{kind} {getattr(wanted, kind)!r}" for kind in given)
        raise Invalid(
            f"A schedule is due in one way, this one has {said}.",
            field=f"schedule.{given[1]}",
            fix=f"Leave out all but one of {', '.join(given)}.",
        )
    schedule.check_zone(wanted.timezone)
    if wanted.cron is not None:
        schedule.check(wanted.cron, wanted.timezone)
    if wanted.every_s is not None and not MIN_S <= wanted.every_s <= MAX_S:
        raise Invalid(
            f"An interval has {MIN_S} seconds to a year, this one has {wanted.every_s}.",
            field="schedule.every_s",
            fix=f"Choose {MIN_S} to {MAX_S} seconds.",
        )


def preview(
    session: Session, context: Context, principal: Principal, wanted: Schedule
) -> SchedulePreview:
    """Tell when a schedule would be due; raises ``Invalid`` as ``put`` does."""
    check(wanted)
    upstream = _upstream(session, principal, wanted)
    _dataset(session, context, principal, wanted)
    now = database_now(session).replace(microsecond=0)
    row = ScheduleRow(
        cron=wanted.cron, timezone=wanted.timezone, every_s=wanted.every_s, anchor=now
    )
    slots = clock.of(row)
    found = list(islice(slots(now), SHOWN)) if slots is not None else []
    return SchedulePreview(
        text=words.describe(wanted, [job.name for job in upstream]),
        slots=found,
        local=[_local(slot, wanted.timezone) for slot in found],
    )


def _next(row: ScheduleRow, now: datetime) -> datetime | None:
    slots = clock.of(row)
    return None if row.paused or slots is None else next(slots(now), None)


def _values(session: Session, job: JobRow, wanted: Schedule) -> dict[str, object]:
    """Check the parameters against the version that will run, as far as there is one."""
    if isinstance(wanted.version, int):
        try:
            version = versions.followed(
                session, job.id, version=wanted.version, follow=Follow.latest
            )
        except Invalid as error:
            raise Invalid(error.detail, field="schedule.version", fix=error.fix) from None
    else:
        try:
            version = versions.followed(session, job.id, version=None, follow=wanted.version)
        except Invalid:
            # The schedule may be set before the first version is approved.
            version = wire.latest_version(session, job.id)
    declared = wire.parameters(version)
    owner = version.created_by
    return submitted(session, owner, declared, wanted.parameters, field="schedule.parameters")


def _upstream(session: Session, principal: Principal, wanted: Schedule) -> list[JobRow]:
    """Return the jobs after which it runs; raises ``Invalid`` for one the caller may not see."""
    found: list[JobRow] = []
    for at, job_id in enumerate(dict.fromkeys(wanted.after)):
        job = session.get(JobRow, job_id)
        if job is not None and job.deleted_at is not None and may_see(principal, job):
            raise Invalid(
                f"The job '{wire.given_name(job)}', after which it ran, was deleted.",
                field=f"schedule.after.{at}",
                fix="Say anew after which jobs it runs, or take its schedule away.",
            )
        if job is None or job.deleted_at is not None or not may_see(principal, job):
            raise Invalid(
                f"There is no job '{job_id}' that you may see.",
                field=f"schedule.after.{at}",
                fix="Give the ids of jobs, as the list of jobs shows them.",
            )
        if any(job.name == other.name for other in found):
            raise Invalid(
                f"Two of the jobs are called '{job.name}': a run could not tell what each left.",
                field=f"schedule.after.{at}",
                fix="Promote one of them under another name.",
            )
        found.append(job)
    return found


def _dataset(
    session: Session, context: Context, principal: Principal, wanted: Schedule
) -> DatasetRow | None:
    """Return the dataset whose changes it waits for; raises ``Invalid`` for none."""
    if wanted.dataset is None:
        return None
    row = session.get(DatasetRow, wanted.dataset)
    sources = context.settings.catalog.sources
    readable = [name for name, one in sources.items() if may_read_source(principal, one.groups)]
    if row is not None and row.source in readable:
        return row
    names = select(DatasetRow.name).where(DatasetRow.source.in_(readable))
    near = get_close_matches(wanted.dataset, session.scalars(names).all(), n=1)
    raise Invalid(
        f"There is no dataset '{wanted.dataset}' in the catalog that you may read.",
        field="schedule.dataset",
        fix=f"Did you mean {near[0]}?" if near else "Give its full name, source.schema.table.",
    )


def _follow(
    session: Session,
    principal: Principal,
    job: JobRow,
    upstream: Iterable[JobRow],
    *,
    paused: bool,
) -> None:
    """Set after which jobs ``job`` runs; raises ``Invalid`` for a circle."""
    wanted = {one.id: one for one in upstream}
    if wanted:
        # Two that follow each other must not be set at the same moment.
        take_turn(session, "job upstreams")
    for one in wanted.values():
        circle = _path(session, one, to=job)
        if circle:
            names = [each.name if may_see(principal, each) else "…" for each in circle]
            said = " → ".join([job.name, *names])
            raise Invalid(
                f"The jobs would run after one another for ever: {said}.",
                field="schedule.after",
                fix=f"Leave '{one.name}' out.",
            )
    rows = session.scalars(select(UpstreamRow).where(UpstreamRow.job_id == job.id)).all()
    for row in rows:
        if wanted.pop(row.upstream_id, None) is None:
            session.delete(row)
        elif paused:
            # What ends while it is paused is not followed, so neither is what ended before.
            row.run_id = None
    for job_id in wanted:
        session.add(UpstreamRow(job_id=job.id, upstream_id=job_id))


def _path(session: Session, start: JobRow, *, to: JobRow) -> list[JobRow]:
    """Return jobs from ``start`` on, each after the next, that lead to ``to``, if any do."""
    ways: list[list[JobRow]] = [[start]]
    seen: set[str] = set()
    while ways:
        way = ways.pop()
        if way[-1].id == to.id:
            return way
        if way[-1].id not in seen:
            seen.add(way[-1].id)
            following = session.scalars(
                select(JobRow)
                .join(UpstreamRow, UpstreamRow.upstream_id == JobRow.id)
                .where(UpstreamRow.job_id == way[-1].id)
            )
            ways += [[*way, job] for job in following]
    return []


def _local(slot: datetime, timezone: str) -> str:
    """Write an instant as clocks in ``timezone`` show it, with the offset."""
    local = slot.astimezone(UTC if timezone == "UTC" else ZoneInfo(timezone))
    return local.isoformat(sep=" ", timespec="seconds" if local.second else "minutes")

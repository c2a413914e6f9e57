"""What a backfill would do: its slots, their parameters, and which the job has run before."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from perijove.exceptions import ParameterError
from perijove.runner.values import check
from perijove.types.backfills import (
    LARGEST,
    BackfillCreate,
    BackfillRun,
    Reprocess,
    Slots,
    SlotState,
)
from perijove.types.jobs import Parameter, RunState
from perijove_hub.exceptions import Invalid
from perijove_hub.jobs.backfills import ranges, slots
from perijove_hub.jobs.values import checked
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import JobRow, RunRow, ScheduleRow

#: Earlier runs that need no other while ``failed`` is to be run again.
_GOOD = (SlotState.succeeded, SlotState.queued, SlotState.running)


@dataclass(frozen=True)
class _Item:
    slot: datetime | None
    parameters: dict[str, Any]


@dataclass(frozen=True)
class Earlier:
    """The newest run of a slot, or of the same parameters, that began or may begin yet."""

    run_id: str
    state: SlotState


#: A run that was cancelled while it was queued has done nothing for its slot.
_COUNTS = or_(RunRow.state != RunState.cancelled.value, RunRow.started_at.is_not(None))


def plan(
    session: Session, job: JobRow, declared: Sequence[Parameter], body: BackfillCreate
) -> list[BackfillRun]:
    """Return each slot of ``body`` in order, waiting or skipped.

    Raises ``Invalid`` for anything wrong in ``body``, and for a range without slots or with more
    than ``LARGEST``.
    """
    scheduled = session.get(ScheduleRow, job.id)
    # One more than there may be shows that there are too many.
    items = list(islice(_items(body, scheduled, declared), LARGEST + 1))
    field = "slots" if body.slots else "range"
    if not items:
        raise Invalid("There is nothing in this range.", field=field, fix="Make it longer.")
    if len(items) > LARGEST:
        raise Invalid(
            f"The range has more than {LARGEST:,} slots, which is the most of one backfill.",
            field=field,
            fix="Take a longer step, or split the range.",
        )
    if body.slots is not None:
        timezone = slots.zone_of(body.slots, scheduled)
        _refuse_undue(body.slots, items, database_now(session), timezone)
        earlier = _by_slot(session, job, items)
    else:
        earlier = _by_parameters(session, job, items, declared)
    return [
        BackfillRun(
            position=position,
            state=fate(body.reprocess, found := earlier.get(position)),
            slot=item.slot,
            parameters=item.parameters,
            earlier_run_id=found.run_id if found else None,
            earlier_state=found.state if found else None,
        )
        for position, item in enumerate(items)
    ]


def fate(reprocess: Reprocess, earlier: Earlier | None) -> SlotState:
    """Say whether a slot with this earlier run is run or skipped."""
    skip = earlier is not None and (
        reprocess is Reprocess.none or (reprocess is Reprocess.failed and earlier.state in _GOOD)
    )
    return SlotState.skipped if skip else SlotState.waiting


def _items(
    body: BackfillCreate, scheduled: ScheduleRow | None, declared: Sequence[Parameter]
) -> Iterator[_Item]:
    if (body.slots is None) == (body.range is None):
        raise Invalid(
            "A backfill needs exactly one of 'slots' and 'range'.",
            field="slots" if body.slots is None else "range",
            fix="Give a range of time as 'slots', or values of one parameter as 'range'.",
        )
    if body.slots is not None:
        yield from _slot_items(body, scheduled, declared)
    else:
        yield from _value_items(body, declared)


def _slot_items(
    body: BackfillCreate, scheduled: ScheduleRow | None, declared: Sequence[Parameter]
) -> Iterator[_Item]:
    assert body.slots is not None  # noqa: S101 - for the type checker
    slots.check_bind(body.bind, declared)
    _refuse_both(body, body.bind, "bind")
    timezone = slots.zone_of(body.slots, scheduled)
    for slot in slots.instants(body.slots, scheduled):
        given = {**body.parameters, **slots.bound(slot, timezone, body.bind, declared)}
        yield _Item(slot, checked(declared, given, field="parameters"))


def _refuse_undue(wanted: Slots, items: Sequence[_Item], now: datetime, timezone: str) -> None:
    """Refuse slots of the job's own schedule that are still to come: that runs them itself."""
    undue = [item.slot for item in items if item.slot is not None and item.slot > now]
    if undue and wanted.cron is None and wanted.every is None:
        # A day alone would be one of the range's zone, and may end after now.
        end = now.astimezone(ZoneInfo(timezone)).isoformat(timespec="minutes")
        raise Invalid(
            f"{len(undue):,} of the slots are still to come, the first at "
            f"{undue[0]:%Y-%m-%d %H:%M} UTC. The job's schedule runs them when they are due.",
            field="slots.end",
            fix=f"End the range at {end} or before, or say which slots with 'every'.",
        )


def _value_items(body: BackfillCreate, declared: Sequence[Parameter]) -> Iterator[_Item]:
    assert body.range is not None  # noqa: S101 - for the type checker
    if body.bind:
        raise Invalid(
            "A range of values has no slots that a parameter could get.",
            field="bind",
            fix="Leave 'bind' out, or give 'slots'.",
        )
    name = body.range.parameter
    _refuse_both(body, {name: ""}, "range")
    found = next((one for one in declared if one.name == name), None)
    if found is None:
        try:
            check(declared, {name: None})
        except ParameterError as error:
            raise Invalid(str(error), field="range.parameter") from None
        raise AssertionError("a parameter that is not declared was taken")
    for value in ranges.values(body.range, found):
        try:
            given = check(declared, {**body.parameters, name: value})
        except ParameterError as error:
            at = "range.values" if error.name == name else f"parameters.{error.name}"
            raise Invalid(str(error), field=at) from None
        yield _Item(None, given)


def _refuse_both(body: BackfillCreate, varied: Mapping[str, str], field: str) -> None:
    for name in varied:
        if name in body.parameters:
            raise Invalid(
                f"Parameter '{name}' has one value for every run in 'parameters', and varies in "
                f"'{field}'.",
                field=f"parameters.{name}",
                fix="Leave one out.",
            )


def by_instant(
    session: Session, job_id: str, first: datetime, last: datetime
) -> dict[datetime, Earlier]:
    """Return the newest run of each slot from ``first`` to ``last``, whatever made it."""
    rows = session.execute(
        select(RunRow.slot, RunRow.id, RunRow.state)
        .where(RunRow.job_id == job_id, RunRow.slot >= first, RunRow.slot <= last, _COUNTS)
        .order_by(RunRow.queued_at, RunRow.id)
    )
    return {slot: Earlier(run_id, SlotState(state)) for slot, run_id, state in rows if slot}


def _by_slot(session: Session, job: JobRow, items: Sequence[_Item]) -> dict[int, Earlier]:
    """Return the newest run of each item's slot, by position."""
    instants = [item.slot for item in items if item.slot is not None]
    newest = by_instant(session, job.id, min(instants), max(instants))
    return {
        position: newest[item.slot] for position, item in enumerate(items) if item.slot in newest
    }


def _by_parameters(
    session: Session, job: JobRow, items: Sequence[_Item], declared: Sequence[Parameter]
) -> dict[int, Earlier]:
    """Return the newest run with each item's parameters, by position.

    A parameter left out has the default it has now.
    """
    defaults = {one.name: one.default for one in declared if not one.required}
    written = [_written(defaults | item.parameters) for item in items]
    wanted = set(written)
    rows = session.execute(
        select(RunRow.parameters, RunRow.id, RunRow.state)
        .where(RunRow.job_id == job.id, _COUNTS)
        .order_by(RunRow.queued_at, RunRow.id)
        .execution_options(yield_per=1000)
    )
    newest: dict[str, Earlier] = {}
    for parameters, run_id, state in rows:
        same = _written(defaults | parameters)
        if same in wanted:
            newest[same] = Earlier(run_id, SlotState(state))
    return {position: newest[same] for position, same in enumerate(written) if same in newest}


def _written(parameters: Mapping[str, Any]) -> str:
    """Write parameters so that equal ones are equal text."""
    return json.dumps(parameters, sort_keys=True, default=str)

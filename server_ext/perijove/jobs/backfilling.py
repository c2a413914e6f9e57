"""Running a job for every slot of a past range, or every value of a parameter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any
from urllib.parse import quote

from perijove.client import Client
from perijove.following import until_ended
from perijove.jobs.finding import JobError, find, once
from perijove.jobs.running import plain, plain_value
from perijove.jobs.settings import SCHEDULE, given_only
from perijove.options import Option, one_of, seconds, whole
from perijove.runner.values import from_text
from perijove.types.backfills import (
    Backfill,
    BackfillCreate,
    BackfillRun,
    Every,
    Range,
    Reprocess,
    Slots,
)
from perijove.types.jobs import Job, Parameter

Look = Callable[[Backfill], None]


def _step(given: str) -> int | Every:
    if given in list(Every):
        return Every(given)
    try:
        return seconds(given)
    except ValueError:
        raise ValueError("day, hour or a duration such as 90s, 15m or 6h") from None


def _pair(given: str) -> tuple[str, str]:
    name, assigned, value = given.partition("=")
    if not assigned or not name.isidentifier() or not value:
        raise ValueError("NAME=VALUE")
    return name, value


_OF_SCHEDULE = {one.name: one for one in SCHEDULE}
BACKFILL = [
    Option("start", "The first slot: a date or a time.", metavar="TIME"),
    Option("end", "Where slots end; this one is not run.", metavar="TIME"),
    _OF_SCHEDULE["schedule"],
    Option("every", "day, hour or a duration; the job's slots if left out.", _step, "STEP"),
    _OF_SCHEDULE["timezone"],
    Option(
        "bind", "Gives a parameter the slot: date, datetime or '%Y-%m-%d'.", _pair, "NAME=HOW", True
    ),
    Option("values", "Instead of slots: NAME=1,2,3.", _pair, "NAME=VALUES"),
    Option("range", "Instead of slots: NAME=START:STOP[:STEP].", _pair, "NAME=RANGE"),
    Option("reprocess", "What had a run before: none, failed, all.", one_of(Reprocess), "WHAT"),
    Option("concurrency", "Runs at once; 2 if left out.", whole, "N"),
    Option("priority", "Higher numbers start first; -10 if left out.", whole, "N"),
]


def backfill(
    name: str,
    *,
    start: str | date | None = None,
    end: str | date | None = None,
    schedule: str | None = None,
    every: int | str | None = None,
    timezone: str | None = None,
    bind: Mapping[str, str] | None = None,
    values: tuple[str, Sequence[Any]] | None = None,
    range: tuple[str, Sequence[Any]] | None = None,  # noqa: A002 - the flag's name
    parameters: Mapping[str, Any] | None = None,
    version: int | None = None,
    reprocess: str | None = None,
    concurrency: int | None = None,
    reverse: bool = False,
    priority: int | None = None,
    dry_run: bool = False,
    owner: str | None = None,
    wait: bool = True,
    follow: Look = lambda backfill: None,
) -> Backfill:
    """Run a job for the slots from ``start`` up to, not including, ``end``.

    ``schedule`` (cron) or ``every`` (``"day"``, ``"hour"``, seconds) says which slots, else the
    job's own schedule; ``bind={"day": "date"}`` gives a parameter the slot. Or else over
    ``values=("rows", [1, 10])`` or ``range=("rows", (0, 100, 10))`` of one parameter. With
    ``dry_run`` nothing is made, and the answer has the ``plan``. Raises ``JobError``.
    """
    if isinstance(every, str):
        every = {one.name: one for one in BACKFILL}["every"].read(every)
    ways = [start is not None or end is not None, values is not None, range is not None]
    if ways.count(True) != 1:
        raise JobError(
            "A backfill takes one of --start with --end, --values and --range: say over what."
        )
    if ways[0] and (start is None or end is None):
        raise JobError("--start and --end go together: slots run from one up to the other.")
    if not ways[0] and (schedule or every or timezone or bind):
        raise JobError("--schedule, --every, --timezone and --bind go with --start and --end.")
    slots = (
        Slots.model_validate(
            given_only(start=start, end=end, cron=schedule, every=every, timezone=timezone)
        )
        if ways[0]
        else None
    )
    body = BackfillCreate.model_validate(
        given_only(
            slots=slots,
            range=_range(values, range),
            bind=dict(bind or {}),
            parameters=plain(parameters or {}),
            version=version,
            reprocess=reprocess,
            concurrency=concurrency,
            reverse=reverse,
            priority=priority,
            dry_run=dry_run,
        )
    )
    with Client() as client:
        path = f"/jobs/{find(client, name, owner).id}/backfills"
        made = client.post(Backfill, path, body) if dry_run else once(client, Backfill, path, body)
    return until_ended(backfill_path(made.id), made, follow) if wait and made.id else made


def backfills(name: str, *, owner: str | None = None) -> list[Backfill]:
    """Return a job's backfills, newest first."""
    with Client() as client:
        return list(client.pages(Backfill, f"/jobs/{find(client, name, owner).id}/backfills"))


def show_backfill(backfill_id: str) -> Backfill:
    """Return a backfill and how far it is."""
    with Client() as client:
        return client.get(Backfill, backfill_path(backfill_id))


def slots(backfill_id: str, *, state: str | None = None) -> list[BackfillRun]:
    """Return the slots of a backfill in their order, each with its run once there is one."""
    with Client() as client:
        return list(client.pages(BackfillRun, f"{backfill_path(backfill_id)}/runs", state=state))


def wait_backfill(backfill_id: str, *, follow: Look = lambda backfill: None) -> Backfill:
    """Wait until a backfill is over; ``follow`` is called with each look at it."""
    return until_ended(backfill_path(backfill_id), show_backfill(backfill_id), follow)


def cancel_backfill(backfill_id: str) -> Backfill:
    """Cancel a backfill and its runs."""
    with Client() as client:
        return client.post(Backfill, f"{backfill_path(backfill_id)}/cancel")


def backfill_path(backfill_id: str | None) -> str:
    """Return where a backfill is."""
    return f"/backfills/{quote(backfill_id or '', safe='')}"


def typed(job: Job, given: Mapping[str, Any]) -> dict[str, Any]:
    """Turn what flags of a line gave into the keywords of ``backfill``, by declared types.

    Raises ``ParameterError`` or ``JobError``.
    """
    keywords = dict(given)
    declared = job.latest.parameters
    if "bind" in keywords:
        keywords["bind"] = dict(keywords["bind"])
    if "values" in keywords:
        name, text = keywords["values"]
        keywords["values"] = name, items(declared, name, text)
    if "range" in keywords:
        name, text = keywords["range"]
        ends = text.split(":")
        if not 2 <= len(ends) <= 3:
            raise JobError(
                f"--range must be NAME=START:STOP or NAME=START:STOP:STEP, not '{text}'."
            )
        keywords["range"] = name, [_number(one) for one in ends]
    return keywords


def items(declared: Sequence[Parameter], name: str, text: str) -> list[Any]:
    """Read the values of one parameter with commas between them; raises ``ParameterError``."""
    return [from_text(declared, {name: one.strip()})[name] for one in text.split(",")]


def _range(
    values: tuple[str, Sequence[Any]] | None, ends: tuple[str, Sequence[Any]] | None
) -> Range | None:
    if values is not None:
        return Range(parameter=values[0], values=[plain_value(one) for one in values[1]])
    if ends is None:
        return None
    start, stop, *step = (plain_value(one) for one in ends[1])
    return Range(parameter=ends[0], start=start, stop=stop, step=step[0] if step else 1)


def _number(text: str) -> int | float | str:
    """Read a number; a date stays text."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text.strip()

"""``%job backfill|backfills|sweep|sweeps``, and how one of them is shown."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, tzinfo
from typing import Any

from perijove import jobs
from perijove.jobs.backfilling import BACKFILL, typed
from perijove.jobs.sweeping import SWEEP, searched
from perijove.magics.arguments import Command
from perijove.magics.display import Chip, Listing, say
from perijove.magics.jobs.following import backfill_followed, sweep_followed
from perijove.magics.jobs.lines import take_parameters
from perijove.magics.jobs.tables import pairs
from perijove.magics.jobs.words import backfill_progress, counted, sweep_progress
from perijove.types.backfills import Backfill, BackfillRun
from perijove.types.sweeps import Goal, Sweep, SweepTrial, TrialState

_OWNER = {"--owner": str}
_COMMON = {"--version": int, "--no-wait": bool, **_OWNER}
BACKFILL_LINE = Command(
    "%job backfill NAME --start DATE --end DATE [--every day|hour|6h] [--bind NAME=date] "
    "[--reprocess none|failed|all] [--concurrency N] [--reverse] [--dry-run], "
    "or --values NAME=1,2,3, or --range NAME=0:10",
    words=(1, 1),
    flags={"--reverse": bool, "--dry-run": bool, **_COMMON},
    options=BACKFILL,
)
BACKFILLS = Command("%job backfills NAME", words=(1, 1), flags=_OWNER)
SWEEP_LINE = Command(
    "%job sweep NAME --space 'C=0.1,1,10' ... --metric NAME [--goal min|max] "
    "[--method grid|random|optuna] [--trials N] [--concurrency N]",
    words=(1, 1),
    flags=_COMMON,
    options=SWEEP,
)
SWEEPS = Command("%job sweeps NAME", words=(1, 1), flags=_OWNER)


class BackfillTable:
    """A backfill and its slots: what ``%job backfill`` returns."""

    def __init__(self, backfill: Backfill, slots: Sequence[BackfillRun]) -> None:
        self.backfill = backfill
        self.slots = slots

    def __repr__(self) -> str:
        return repr(slots_table(self.backfill, self.slots))

    def _repr_html_(self) -> str:
        return slots_table(self.backfill, self.slots)._repr_html_()


class SweepTable:
    """A sweep and its trials, best first: what ``%job sweep`` returns."""

    def __init__(self, sweep: Sweep, trials: Sequence[SweepTrial]) -> None:
        self.sweep = sweep
        self.trials = trials

    def __repr__(self) -> str:
        return repr(trials_table(self.sweep, self.trials))

    def _repr_html_(self) -> str:
        return trials_table(self.sweep, self.trials)._repr_html_()


def backfill(line: str) -> BackfillTable:
    """Run a job for a range and follow it."""
    rest, texts = take_parameters(line, BACKFILL_LINE)
    given = BACKFILL_LINE.parse(rest)
    name, owner = given.words[0], given["--owner"]
    job = jobs.show(name, owner=owner)
    made = jobs.backfill(
        name,
        **typed(job, given.options),
        parameters=jobs.from_text(job.latest.parameters, texts),
        version=given["--version"],
        reverse=given["--reverse"],
        dry_run=given["--dry-run"],
        owner=owner,
        wait=False,
    )
    if made.id is None:
        say("A dry run: nothing was made.")
        return BackfillTable(made, made.plan)
    if given["--no-wait"]:
        say(f"{name}: backfill {made.id} is running; %job show {name} --backfill {made.id}")
    else:
        made = backfill_followed(made)
    return show_backfill(made.id or "")


def show_backfill(backfill_id: str) -> BackfillTable:
    """Look a backfill and its slots up."""
    return BackfillTable(jobs.show_backfill(backfill_id), jobs.slots(backfill_id))


def backfills(line: str) -> Listing:
    """List a job's backfills."""
    given = BACKFILLS.parse(line)
    return backfills_table(jobs.backfills(given.words[0], owner=given["--owner"]))


def sweep(line: str) -> SweepTable:
    """Search a job's parameters and follow it."""
    rest, texts = take_parameters(line, SWEEP_LINE)
    given = SWEEP_LINE.parse(rest)
    name, owner = given.words[0], given["--owner"]
    job = jobs.show(name, owner=owner)
    made = jobs.sweep(
        name,
        **searched(job, given.options),
        parameters=jobs.from_text(job.latest.parameters, texts),
        version=given["--version"],
        owner=owner,
        wait=False,
    )
    if given["--no-wait"]:
        say(f"{name}: sweep {made.id} is running; %job show {name} --sweep {made.id}")
    else:
        made = sweep_followed(made)
    return show_sweep(made.id)


def show_sweep(sweep_id: str) -> SweepTable:
    """Look a sweep and its trials up."""
    return SweepTable(jobs.show_sweep(sweep_id), jobs.trials(sweep_id))


def sweeps(line: str) -> Listing:
    """List a job's sweeps."""
    given = SWEEPS.parse(line)
    return sweeps_table(jobs.sweeps(given.words[0], owner=given["--owner"]))


def slots_table(backfill: Backfill, slots: Sequence[BackfillRun]) -> Listing:
    """Make the table of a backfill's slots, as clocks in its time zone show them."""
    zone, known = _zone(backfill)
    rows = [
        [
            f"{one.slot.astimezone(zone):%Y-%m-%d %H:%M}" if one.slot else one.position,
            Chip(one.state.value),
            pairs(one.parameters),
            one.run_id or "",
            f"{one.earlier_state.value} {one.earlier_run_id}" if one.earlier_state else "",
        ]
        for one in slots
    ]
    columns = [
        f"slot ({known})" if backfill.slots else "value",
        "state",
        "parameters",
        "run",
        "before",
    ]
    said = backfill_progress(backfill)
    if backfill.slots and not backfill.bind:
        said += ". Every run has the same parameters: --bind NAME=date gives one the slot."
    return Listing(columns, rows, caption=said, empty=said)


def trials_table(sweep: Sweep, trials: Sequence[SweepTrial]) -> Listing:
    """Make the table of a sweep's trials, best first."""
    sign = -1 if sweep.goal is Goal.max else 1
    counted = [one for one in trials if one.state is TrialState.succeeded]
    # A trial that failed may have a value, even the best one.
    others = [one for one in trials if one.state is not TrialState.succeeded]
    ordered = sorted(counted, key=lambda one: sign * (one.value or 0.0)) + others
    rows = [
        [
            one.number,
            *(one.parameters.get(name, "") for name in sweep.space),
            "" if one.value is None else f"{one.value:.6g}",
            Chip(one.state.value),
            one.run_id,
            one.reason or "",
        ]
        for one in ordered
    ]
    columns = ["trial", *sweep.space, sweep.metric, "state", "run", "why"]
    said = sweep_progress(sweep)
    return Listing(columns, rows, caption=said, empty=said)


def backfills_table(found: Sequence[Backfill]) -> Listing:
    """Make the table of a job's backfills."""
    rows = [
        [
            one.id,
            Chip(one.state.value),
            _over(one),
            one.version,
            one.total,
            counted(one.counts),
            one.requested_by,
            one.reason or "",
        ]
        for one in found
    ]
    columns = ["backfill", "state", "over", "version", "slots", "of them", "by", "why"]
    return Listing(columns, rows, empty="No backfills yet: %job backfill NAME --start --end")


def sweeps_table(found: Sequence[Sweep]) -> Listing:
    """Make the table of a job's sweeps."""
    rows = [
        [
            one.id,
            Chip(one.state.value),
            one.method.value,
            f"{one.goal.value} {one.metric}",
            one.trials,
            counted(one.counts),
            f"{one.best.value:.6g} with {pairs(one.best.parameters)}"
            if one.best and one.best.value is not None
            else "",
            one.reason or "",
        ]
        for one in found
    ]
    columns = ["sweep", "state", "method", "goal", "trials", "of them", "best", "why"]
    return Listing(columns, rows, empty="No sweeps yet: %job sweep NAME --space --metric")


def _zone(backfill: Backfill) -> tuple[tzinfo, str]:
    # Imported here: no other command needs it, and it is slow.
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    name = (backfill.slots.timezone if backfill.slots else None) or "UTC"
    try:
        return ZoneInfo(name), name
    except ZoneInfoNotFoundError:
        # A small image may have no time zones.
        return UTC, "UTC"


def _over(one: Backfill) -> str:
    if one.slots is not None:
        return f"{one.slots.start:%Y-%m-%d %H:%M} to {one.slots.end:%Y-%m-%d %H:%M}"
    return one.range.parameter if one.range else ""


VERBS: dict[str, Any] = {
    "backfill": backfill,
    "backfills": backfills,
    "sweep": sweep,
    "sweeps": sweeps,
}

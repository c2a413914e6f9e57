"""When each cell of a run ran, and how long the coming ones will probably take."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from perijove.runner.parameters import SKIP, TAG
from perijove.types.base import Principal
from perijove.types.jobs import CellTime, CellTimes, RunState
from perijove_hub.context import Context
from perijove_hub.jobs import attempts, live
from perijove_hub.jobs.finding import find_run
from perijove_hub.launch import Launcher, plain
from perijove_hub.store import BlobStore
from perijove_hub.store.models import JobVersionRow, RunRow, utcnow

#: Most cells in one answer.
MOST = 2000
#: Most bytes of events that are read for it.
MAX_EVENTS = 4 * 2**20
#: Most bytes of one event.
MAX_EVENT = 4096
#: Earlier runs from which is told how long a cell takes.
EARLIER = 5


@dataclass(frozen=True)
class Told:
    """What a run's events say, made safe: times are epoch seconds."""

    cells: tuple[tuple[int, int | None, str, float, float | None], ...] = ()
    """Number, index, first line, start, end."""
    total: int = 0
    left_out: int = 0


def times(
    context: Context,
    launcher: Launcher,
    principal: Principal,
    run_id: str,
    *,
    attempt: int | None = None,
) -> CellTimes:
    """Return the cells of a run or of an earlier attempt: those that ran, and those that did not.

    How long cells to come will take is told as far as earlier runs took it.
    """
    with context.database.reading() as session:
        row, _ = find_run(session, principal, run_id)
        tried = attempts.find(session, row, attempt)
        earlier = _earlier(session, row)
        notebook = session.get_one(JobVersionRow, (row.job_id, row.version)).notebook_sha256
    ended = RunState(tried.state).terminal
    told = Told()
    if ended:
        told = _stored(context.blobs, tried.events_sha256)
    elif content := live.events(launcher, row, MAX_EVENTS):
        told = parse(content)
    before = [(version, _stored(context.blobs, address)) for version, address in earlier]
    expected = _expected([earlier_told for _, earlier_told in before])
    cells = _within(tried, tried.started_at or row.queued_at, told, expected)
    same = next((one for version, one in before if version == row.version), None)
    if ended or same is None:
        same = _promised(context.blobs, notebook, told.total)
    cells += _to_come(same, done=len(cells), expected={} if ended else expected)
    total = max(told.total, row.cells_total if tried is row else 0, len(cells))
    return CellTimes(cells=cells[:MOST], total=total, left_out=told.left_out)


def parse(content: bytes) -> Told:
    """Read events that untrusted code may have written; what is no event is passed over."""
    starts: dict[int, tuple[int | None, str, float]] = {}
    ends: dict[int, float] = {}
    total, left_out = 0, 0
    for line in content.splitlines():
        try:
            if len(line) > MAX_EVENT:
                continue
            event = json.loads(line)
            at = float(event["at"])
            if not math.isfinite(at):
                continue
            match event["event"]:
                case "started":
                    total = _count(event["cells_total"])
                case "cell":
                    number = _count(event["number"])
                    if number not in starts and len(starts) >= MOST:
                        left_out += 1
                        continue
                    index = event.get("index")
                    starts[number] = (
                        None if index is None else _count(index),
                        plain.text(event.get("line", ""), 120),
                        at,
                    )
                    ends.pop(number, None)
                case "done":
                    number = _count(event["number"])
                    if number in starts:
                        ends[number] = at
                case "ended":
                    # A cell that raised has no end of its own.
                    for number in starts.keys() - ends.keys():
                        ends[number] = at
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError, AttributeError):
            continue
    cells = tuple((number, *starts[number], ends.get(number)) for number in sorted(starts))
    return Told(cells, total, left_out)


def _within(
    tried: attempts.Tried, began: datetime, told: Told, expected: dict[tuple[str, int], float]
) -> list[CellTime]:
    """Make messages of cells, with times between the start and the end, or now."""
    first = began.timestamp()
    last = max(first, (tried.ended_at or utcnow()).timestamp())

    def moment(at: float) -> datetime:
        return datetime.fromtimestamp(min(max(at, first), last), UTC)

    ended = RunState(tried.state).terminal
    cells = []
    for key, (number, index, line, start, end) in zip(_keys(told), told.cells, strict=True):
        # The kernel's end may have come without a word: then the run's end is the cell's.
        stop = max(start, end) if end is not None else last if ended else None
        cells.append(
            CellTime(
                number=number,
                index=index,
                line=line,
                started_at=moment(start),
                ended_at=None if stop is None else moment(stop),
                expected_s=expected.get(key),
            )
        )
    return cells


def _to_come(before: Told, *, done: int, expected: dict[tuple[str, int], float]) -> list[CellTime]:
    """Return the cells that the run before had after the first ``done``."""
    keyed = list(zip(_keys(before), before.cells, strict=True))
    return [
        CellTime(number=number, line=line, expected_s=expected.get(key))
        for key, (number, _, line, _, _) in keyed[done:]
    ]


def _promised(blobs: BlobStore, address: str, total: int) -> Told:
    """Return the ``total`` cells that run of a version's notebook; none where they are others."""
    lines = _lines(blobs, address)
    if total == len(lines) + 1:
        # Values were given: they stand in a cell of their own, after that with the defaults.
        at = next((at + 1 for at, (_, named) in enumerate(lines) if named), 0)
        lines = (*lines[:at], ("# Parameters", False), *lines[at:])
    if total != len(lines):
        return Told()
    return Told(tuple((number, None, line, 0.0, None) for number, (line, _) in enumerate(lines, 1)))


def _lines(blobs: BlobStore, address: str) -> tuple[tuple[str, bool], ...]:
    """Return the first lines of a notebook's cells that run, and which has the parameters."""
    found = _notebooks.get(address)
    if found is None:
        found = tuple(_first_lines(json.loads(blobs.get(address))["cells"][: 2 * MOST]))
        while len(_notebooks) >= 64:
            _notebooks.pop(next(iter(_notebooks)), None)
        _notebooks[address] = found
    return found


def _first_lines(cells: Iterable[dict[str, Any]]) -> Iterator[tuple[str, bool]]:
    """Yield what ``_lines`` returns, as the runner chooses cells and tells their lines."""
    for cell in cells:
        source = cell["source"]
        text = source if isinstance(source, str) else "".join(source)
        tags = cell["metadata"].get("tags", [])
        if cell["cell_type"] == "code" and text.strip() and SKIP not in tags:
            line = next(line.strip() for line in text.splitlines() if line.strip())
            yield plain.text(line, 120), TAG in tags


def _expected(before: Sequence[Told]) -> dict[tuple[str, int], float]:
    """Return the median seconds of cells, by first line and its how-manieth occurrence."""
    took: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
    for told in before:
        for key, (_, _, _, start, end) in zip(_keys(told), told.cells, strict=True):
            if end is not None and end >= start:
                took[key].append(end - start)
    return {key: median(seconds) for key, seconds in took.items()}


def _keys(told: Told) -> Iterable[tuple[str, int]]:
    seen: defaultdict[str, int] = defaultdict(int)
    for _, _, line, _, _ in told.cells:
        seen[line] += 1
        yield line, seen[line]


def _earlier(session: Session, run: RunRow) -> Sequence[tuple[int, str]]:
    """Return version and events of the last runs that succeeded before, the newest first."""
    rows = (
        select(RunRow.version, RunRow.events_sha256)
        .where(
            RunRow.job_id == run.job_id,
            RunRow.id != run.id,
            RunRow.state == RunState.succeeded.value,
            RunRow.events_sha256.is_not(None),
            RunRow.queued_at <= run.queued_at,
        )
        .order_by(RunRow.queued_at.desc(), RunRow.id.desc())
        .limit(EARLIER)
    )
    found = session.execute(rows).all()
    return [(version, address) for version, address in found if address is not None]


def _stored(blobs: BlobStore, address: str | None) -> Told:
    if address is None:
        return Told()
    found = _parsed.get(address)
    if found is None:
        try:
            content = blobs.get(address)
        except KeyError:
            # Retention was faster.
            return Told()
        found = parse(content[:MAX_EVENTS])
        while len(_parsed) >= 64:
            _parsed.pop(next(iter(_parsed)), None)
        _parsed[address] = found
    return found


#: First lines of notebooks' cells, as ``_parsed``.
_notebooks: dict[str, tuple[tuple[str, bool], ...]] = {}
#: What was read before, by the hash of the content, which never changes: a page asks again and
#: again.
_parsed: dict[str, Told] = {}


def _count(said: object) -> int:
    number = int(said)  # type: ignore[call-overload]
    if not 0 <= number < 2**31:
        raise ValueError
    return int(number)

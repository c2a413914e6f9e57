"""What differs between two runs."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from perijove.types.base import Principal
from perijove.types.comparison import (
    CellDifference,
    Comparison,
    NumberDifference,
    ValueDifference,
)
from perijove.types.jobs import Parameter, Run
from perijove_hub.context import Context
from perijove_hub.exceptions import Unavailable
from perijove_hub.jobs import cell_diff, wire
from perijove_hub.jobs.finding import find_run
from perijove_hub.jobs.render import MAX_BYTES
from perijove_hub.jobs.runs import seconds
from perijove_hub.store import BlobStore
from perijove_hub.store.models import JobInputRow, JobVersionRow, RunRow

log = logging.getLogger(__name__)

#: Seconds that comparing two notebooks may take.
TIMEOUT = 20.0
#: Comparisons at once: each may take ``cell_diff.MEMORY``. The others wait.
_ROOM = threading.BoundedSemaphore(2)


@dataclass(frozen=True)
class _Side:
    run: Run
    row: RunRow
    version: JobVersionRow
    inputs: dict[str, str]

    @property
    def notebook(self) -> str:
        """The output notebook, or, of a run without one, the notebook it runs."""
        return self.row.output_sha256 or self.version.notebook_sha256


def compare(context: Context, principal: Principal, one_id: str, other_id: str) -> Comparison:
    """Compare two runs that the caller may see, of one job or of two."""
    with context.database.reading() as session:
        one, other = _side(session, principal, one_id), _side(session, principal, other_id)
    left_out = _without_output(one, "first") + _without_output(other, "second")
    cells, same, more = _cells(context.blobs, one, other)
    return Comparison(
        one=one.run,
        other=other.run,
        parameters=_values(_parameters(one), _parameters(other)),
        environment=_values(_environment(one), _environment(other)),
        inputs=_values(one.inputs, other.inputs),
        artifacts=_values(
            {file.path: file.sha256 for file in one.run.artifacts},
            {file.path: file.sha256 for file in other.run.artifacts},
        ),
        metrics=_numbers(one.run.metrics, other.run.metrics),
        measures=_numbers(_measures(one.run), _measures(other.run)),
        cells=cells,
        cells_same=same,
        left_out=left_out + more,
    )


def _side(session: Session, principal: Principal, run_id: str) -> _Side:
    row, job = find_run(session, principal, run_id)
    inputs = session.execute(
        select(JobInputRow.path, JobInputRow.sha256)
        .where(JobInputRow.job_id == job.id, JobInputRow.version == row.version)
        .order_by(JobInputRow.path)
    )
    return _Side(
        wire.run(session, row, job.name, reader=principal),
        row,
        session.get_one(JobVersionRow, (job.id, row.version)),
        {row.path: row.sha256 for row in inputs},
    )


def _parameters(side: _Side) -> dict[str, Any]:
    """Return the values that a run had, those that it was not given among them."""
    declared = [Parameter.model_validate(one) for one in side.version.parameters]
    return {one.name: one.default for one in declared if not one.required} | side.run.parameters


def _environment(side: _Side) -> dict[str, Any]:
    return {
        "job": side.run.job,
        "version": side.run.version,
        "image": side.version.image,
        "image_digest": side.version.image_digest,
    }


def _measures(run: Run) -> dict[str, float]:
    found = {
        "seconds": seconds(run.started_at, run.ended_at),
        "peak_memory_mb": run.peak_memory_mb,
    }
    return {name: value for name, value in found.items() if value is not None}


def _values(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[ValueDifference]:
    return [
        ValueDifference(
            name=name,
            one=one.get(name),
            other=other.get(name),
            # 1 and True are equal in Python, and no one else would say so.
            same=name in one
            and name in other
            and json.dumps(one[name], sort_keys=True) == json.dumps(other[name], sort_keys=True),
        )
        for name in dict.fromkeys([*one, *other])
    ]


def _numbers(one: Mapping[str, float], other: Mapping[str, float]) -> list[NumberDifference]:
    return [
        NumberDifference(
            name=name,
            one=one.get(name),
            other=other.get(name),
            difference=other[name] - one[name] if name in one and name in other else None,
        )
        for name in sorted({*one, *other})
    ]


def _without_output(side: _Side, which: str) -> list[str]:
    if side.row.output_sha256 is not None:
        return []
    why = (
        f"were deleted on {side.row.dropped_at:%Y-%m-%d}"
        if side.row.dropped_at is not None
        else "are not there"
    )
    return [f"The outputs of the {which} run {why}: its code is compared as it was promoted."]


def _cells(
    blobs: BlobStore, one: _Side, other: _Side
) -> tuple[list[CellDifference], int, list[str]]:
    """Compare the notebooks in a process of its own; outputs only where both have theirs."""
    outputs = one.row.output_sha256 is not None and other.row.output_sha256 is not None
    if not _ROOM.acquire(timeout=TIMEOUT):
        raise Unavailable("Other runs are being compared.", fix="Try again in a moment.")
    try:
        first, second = blobs.get(one.notebook), blobs.get(other.notebook)
        largest = max(len(first), len(second))
        if largest > MAX_BYTES:
            return [], 0, [f"The cells: a notebook of {largest / 1e6:.0f} MB is too large for it."]
        done = subprocess.run(
            [sys.executable, "-m", cell_diff.__name__],
            input=b"%d %d\n" % (len(first), outputs) + first + second,
            capture_output=True,
            timeout=TIMEOUT,
            # Nothing of ours but where Python and its packages are.
            env={name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ},
        )
    except subprocess.TimeoutExpired:
        return [], 0, [f"The cells: comparing them took longer than {TIMEOUT:.0f} s."]
    finally:
        _ROOM.release()
    if done.returncode != 0:
        last = done.stderr.decode("utf-8", errors="replace").strip().rpartition("\n")[2]
        log.warning("runs %s and %s: comparing cells failed: %s", one.run.id, other.run.id, last)
        return [], 0, ["The cells: one of the notebooks is not as a runner writes it."]
    said = json.loads(done.stdout)
    cells = [CellDifference.model_validate(cell) for cell in said["cells"]]
    return cells, said["same"], said["left_out"]

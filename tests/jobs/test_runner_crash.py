"""A run's runner, or its kernel, is killed at every transition: the run ends once and truly."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from perijove.types.jobs import Policy, Run, RunState
from perijove_hub.jobs import workload
from perijove_hub.launch import Workload
from perijove_hub.store.models import AttemptRow, AuditRow, RunRow, RunTokenRow
from tests.fixtures.processes import ROOT, pythonpath
from tests.jobs.conftest import ADMIN, Platform
from tests.jobs.mortal import NOW, POINTS, WITH_KERNEL
from tests.jobs.notebooks import code, notebook
from tests.jobs.programs import DONE

NOTEBOOK = notebook(
    code("print('one')"),
    # What was said more than a second before is kept, whatever happens.
    code(
        "import time\nprint('early', flush=True)\ntime.sleep(1.1)\n"
        f"print('{NOW}', flush=True)\ntime.sleep(0.6)"
    ),
    code("print('three')"),
)
KILLED = "Its runner ended with signal {} before the notebook did. The log may say why."
DONE_AND_KILLED = "Every cell ran, but its runner ended with signal 9 before it was through."
ENDED = "Somebody ended the runner's process"


@dataclass(frozen=True)
class Case:
    """Who is killed where, and how."""

    point: str
    whom: str
    number: int

    @property
    def at(self) -> int:
        return POINTS.index(self.point)


CASES = [
    *(Case(point, "runner", number) for point in POINTS for number in (9, 15)),
    *(Case(point, "kernel", number) for point in WITH_KERNEL for number in (9, 15)),
]


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where processes put what they throw away; short, because of the sockets in it."""
    folder = Path(tempfile.mkdtemp(prefix="pj-"))
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    shutil.rmtree(folder)


def test_whoever_dies_where_the_run_ends_once_with_a_true_cause_and_leaves_nothing(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, temporary: Path
) -> None:
    real, cases = workload.describe, dict[str, Case]()

    def describe(run: RunRow, **more: Any) -> Workload:
        found = real(run, **more)
        if run.attempt > 1:
            return replace(found, command=("/bin/sh", "-c", DONE))
        case = cases[run.id]
        assert found.command[:3] == ("python", "-m", "perijove.runner")
        mortal = ("tests.jobs.mortal", case.point, case.whom, str(case.number))
        return replace(found, command=("python", "-m", *mortal, *found.command[3:]))

    monkeypatch.setattr(workload, "describe", describe)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), pythonpath()]))
    platform.context.settings.jobs.concurrency = 6
    job = platform.promote(NOTEBOOK, policy=Policy(retries=1, retry_delay_s=0))
    for case in CASES:
        cases[platform.run(job).id] = case
    runs = {id_: platform.runs.get(ADMIN, id_) for id_ in cases}
    platform.tick_until(lambda: _all_ended(platform), seconds=240)
    wrong = {}
    for id_, case in cases.items():
        try:
            _judge(platform, platform.get(runs[id_]), case)
        except AssertionError as error:
            wrong[case] = str(error)
    assert not wrong, "\n".join(f"{case}: {error}" for case, error in wrong.items())
    platform.duty.tick()
    assert platform.launcher.list() == []
    assert list((platform.context.data.root / "scratch").iterdir()) == []
    assert _left_running(set(cases)) == []
    assert list(temporary.iterdir()) == []
    with platform.context.database.reading() as session:
        assert session.scalar(select(func.count()).select_from(RunTokenRow)) == 0


def _all_ended(platform: Platform) -> bool:
    with platform.context.database.reading() as session:
        active = RunRow.state.in_(["queued", "running"])
        return session.scalar(select(func.count()).where(active)) == 0


def _judge(platform: Platform, run: Run, case: Case) -> None:
    """See that the first attempt is recorded as what it was, and that another followed."""
    with platform.context.database.reading() as session:
        tries = session.scalars(select(AttemptRow).where(AttemptRow.run_id == run.id)).all()
        ends = select(func.count()).where(AuditRow.verb == "run.end", AuditRow.object == run.id)
        assert session.scalar(ends) == 1
        row = session.get_one(RunRow, run.id)
    assert run.state is RunState.succeeded, (run.state, run.reason)
    if case.number == 15 and case.at >= POINTS.index("saving"):
        # Everything has run: there is nothing left that could be ended.
        assert (run.attempt, tries) == (1, [])
        assert _kept(platform, row.output_sha256) == ["one", f"early {NOW}", "three"]
        return
    assert run.attempt == 2
    [first] = tries
    said = _kept(platform, first.output_sha256)
    found = (first.state, first.cause, first.reason)
    assert found in _true(case), found
    if case.at >= POINTS.index("saving"):
        assert said == ["one", f"early {NOW}", "three"]
    elif case.point == "middle of a cell":
        assert said[0] == "one" and said[1].startswith("early"), said
    elif case.point == "between cells":
        assert said[0] == "one", said


def _true(case: Case) -> list[tuple[str, str, str]]:
    """Return what may truly be said of an attempt."""
    middle = case.point == "middle of a cell"
    if case.whom == "kernel":
        where = ["The kernel died while no cell was running."]
        if case.at >= POINTS.index("kernel answers"):
            cell = 1 if case.at <= POINTS.index("first cell") else 2
            where = [f"The kernel died. Cell {cell} was running."]
        return [("failed", "kernel_died", reason) for reason in where]
    if case.number == 9 or case.at == 0:
        late = case.at >= POINTS.index("result recorded")
        reason = DONE_AND_KILLED if late else KILLED.format(case.number)
        return [("failed", "lost", reason)]
    where = [f"{ENDED} while no cell was running."]
    if middle:
        where = [f"{ENDED}. Cell 2 was running."]
    elif case.point == "first cell":
        # A short one may be over before anybody looks.
        where.append(f"{ENDED}. Cell 1 was running.")
    return [("failed", "lost", reason) for reason in where]


def _kept(platform: Platform, address: str | None) -> list[str]:
    """Return what each cell printed, as far as it is kept."""
    if address is None:
        return []
    cells = json.loads(platform.context.blobs.get(address))["cells"]
    said = [
        "".join(
            "".join(output["text"])
            for output in cell["outputs"]
            if output["output_type"] == "stream" and output["name"] == "stdout"
        )
        for cell in cells
    ]
    return [" ".join(one.split()) for one in said]


def _left_running(run_ids: set[str]) -> list[int]:
    """Find processes of these runs."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environment = (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if any(f"PERIJOVE_RUN_ID={id_}".encode() in environment for id_ in run_ids):
                found.append(int(entry.name))
    return found

"""What people complain of in other schedulers, where no other test says that it is not so here.

docs/complaints.md lists all of them, each with its test.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import nbformat
import pytest

from perijove.runner.outcome import Ending, Outcome
from perijove.types.jobs import Resources, RunCreate, RunState, Schedule
from perijove_hub.jobs import reasons
from perijove_hub.jobs.schedule import slots
from perijove_hub.jobs.scheduler import Scheduler
from perijove_hub.launch import Phase, Status
from perijove_hub.store.models import RunRow
from tests.fixtures.processes import ROOT
from tests.jobs.conftest import ADA, Platform
from tests.jobs.notebooks import code, notebook
from tests.jobs.scratch import printed
from tests.jobs.test_schedule import make_due, runs_of

PAGE = (ROOT / "docs" / "complaints.md").read_text(encoding="utf-8")

#: What breaks where values are pasted into code, or paths into a pattern.
NASTY = '\'"""\\\n{C} %s $(id) \u2028 é 🗝 # \'; raise SystemExit'


def test_values_stay_values_and_the_kernel_takes_no_ports(tmp_path: Path) -> None:
    folder = tmp_path / "{C} of {ada}"
    folder.mkdir()
    hidden = code("print(json.dumps([text, table, C]))")
    hidden["metadata"] = {"jupyter": {"source_hidden": True}, "tags": ["of-mine"]}
    content = notebook(
        code("text = ''\ntable = {}\nC: float | None = 1.0", tags=["parameters"]),
        code("import json"),
        hidden,
        code("from ipykernel.connect import get_connection_info as of\nprint(of())"),
    )
    values = {"text": NASTY, "table": {NASTY: [NASTY, None, True, -1.5e-300]}, "C": None}
    (folder / "in.ipynb").write_text(json.dumps(content))
    (folder / "values.json").write_text(json.dumps(values))
    command = [sys.executable, "-m", "perijove.runner", os.fspath(folder / "in.ipynb")]
    command += ["--parameters", os.fspath(folder / "values.json")]
    command += ["--output", os.fspath(folder / "out.ipynb")]
    command += ["--events", os.fspath(folder / "events.jsonl")]
    subprocess.run(command, check=True, cwd=tmp_path)
    output = nbformat.read(folder / "out.ipynb", as_version=4)
    assert json.loads(printed(output.cells[3])) == list(values.values())
    assert output.metadata.papermill.parameters == values
    assert output.cells[3].metadata.jupyter == {"source_hidden": True}
    assert output.cells[3].metadata.tags == ["of-mine"]
    # Two runs that choose ports at once may choose the same.
    assert json.loads(printed(output.cells[4]))["transport"] == "ipc"


def endings() -> Iterator[tuple[Status, Outcome | None]]:
    """Yield every way a run's process can end that is no success."""
    yield Status("a", Phase.gone, {}), None
    for cause in ("memory", "disk", "engine", "timeout", "stopped"):
        yield Status("a", Phase.ended, {}, exit_code=-9, cause=cause), None
    for exit_code in (1, 2, 137, -9, -15, None):
        yield Status("a", Phase.ended, {}, exit_code=exit_code), None
    for ending in Ending:
        outcome = Outcome(ending)
        yield Status("a", Phase.ended, {}, exit_code=outcome.exit_code or -9), outcome
        yield Status("a", Phase.ended, {}, exit_code=outcome.exit_code or 1), outcome


def test_whatever_is_no_success_says_why() -> None:
    for cancelled in (False, True):
        run = RunRow(cancel_requested=cancelled)
        for status, outcome in endings():
            found = reasons.explain(run, status, outcome, limits=Resources())
            assert found.state.terminal and found.state is not RunState.succeeded
            assert found.cause is not None
            assert len(found.reason or "") > 5, (status, outcome)


def test_the_machines_own_time_zone_moves_no_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    after = datetime(2026, 10, 24, 21, tzinfo=UTC)
    found = []
    try:
        for zone in ("UTC", "America/New_York", "Asia/Kathmandu"):
            with monkeypatch.context() as patch:
                patch.setenv("TZ", zone)
                time.tzset()
                found.append(
                    [
                        list(islice(slots(cron, "Europe/Berlin", after), 5))
                        for cron in ("30 2 * * *", "*/30 2 * * *")
                    ]
                )
    finally:
        time.tzset()
    assert found[0] == found[1] == found[2]


def test_nobodys_key_takes_the_place_of_a_slot(platform: Platform) -> None:
    job = platform.promote(schedule=Schedule(cron="0 0 1 1 *"))
    due = make_due(platform, job.id, timedelta(seconds=30))
    for key in (f"slot:{due.isoformat()}", "schedule", due.isoformat()):
        platform.runs.create(ADA, job.id, RunCreate(), key=key)
    Scheduler(platform.context).step()
    assert [run.slot for run in runs_of(platform)].count(due) == 1
    assert len(runs_of(platform)) == 4


def test_every_test_that_the_page_of_complaints_names_is_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)
    assert len(named) > 60
    texts = {file: (ROOT / file).read_text(encoding="utf-8") for file, _ in named}
    for file, name in named:
        assert f"def {name}(" in texts[file], f"{file}::{name}"
    # And every row names one.
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and "::" not in line]
    assert [row for row in rows if "| complaint |" not in row] == []

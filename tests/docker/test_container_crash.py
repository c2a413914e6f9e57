"""A run's container is killed, stopped, removed and paused at each stage: the run ends once."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from sqlalchemy import select

from perijove.runner.journal import NAME
from perijove.types.jobs import Policy, RunState
from perijove_hub.jobs import reasons, workload
from perijove_hub.jobs.names import workload_name
from perijove_hub.launch import Workload
from perijove_hub.store.models import AttemptRow, RunRow
from tests.docker.test_workloads import Contained
from tests.docker.test_workloads import platform as platform
from tests.jobs.conftest import ADMIN
from tests.jobs.notebooks import code, notebook
from tests.jobs.programs import DONE, TOLD

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]

LINES = (json.dumps(notebook(code("work"))), json.dumps(["text", 0, "stdout", "so far"]))
JOURNAL = "\n".join(f"echo '{line}' >> {NAME}" for line in LINES)
#: What a program in place of the runner has done when its container dies.
STAGES = {
    "before a word": "",
    "in a cell": f"{TOLD}\n{JOURNAL}",
    "after its last word": f"{TOLD}\n{DONE}",
}


def paused(api: Any, container: str) -> None:
    api.pause(container)
    api.kill(container, "SIGKILL")


#: Ways to end a container, and what is said of a run whose container ended so.
WAYS: dict[str, tuple[Callable[[Any, str], None], str]] = {
    "kill": (lambda api, container: api.kill(container, "SIGKILL"), reasons.VANISHED),
    "kill -s TERM": (lambda api, container: api.kill(container, "SIGTERM"), reasons.ENGINE),
    "stop": (lambda api, container: api.stop(container), reasons.ENGINE),
    "rm -f": (lambda api, container: api.remove_container(container, force=True), reasons.VANISHED),
    "pause, then kill": (paused, reasons.VANISHED),
}


@dataclass(frozen=True)
class Case:
    """Where a container ends, and how."""

    stage: str
    way: str


def test_however_a_container_ends_its_run_ends_once_and_is_tried_again(
    platform: Contained, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, cases = workload.describe, dict[str, Case]()

    def describe(run: RunRow, **more: Any) -> Workload:
        script = DONE
        if run.attempt == 1:
            script = f"{STAGES[cases[run.id].stage]}\ntouch here\nsleep 600"
        return replace(real(run, **more), command=("/bin/sh", "-c", script))

    monkeypatch.setattr(workload, "describe", describe)
    monkeypatch.setattr(platform.context.settings.jobs, "concurrency", 8)
    once = platform.promote(name="once")
    again = platform.promote(name="again", policy=Policy(retries=1, retry_delay_s=0))
    for case in [Case(stage, way) for stage in STAGES for way in WAYS]:
        cases[platform.run(again if case.stage == "in a cell" else once).id] = case
    struck: set[str] = set()

    def all_ended() -> bool:
        for id_ in cases.keys() - struck:
            if _is_there(platform, id_):
                WAYS[cases[id_].way][0](platform.launcher._api, _container(platform, id_))
                struck.add(id_)
        return all(platform.runs.get(ADMIN, id_).state.terminal for id_ in cases)

    platform.tick_until(all_ended)
    for id_, case in cases.items():
        with platform.context.database.reading() as session:
            run = session.get_one(RunRow, id_)
            tried = session.scalars(select(AttemptRow).where(AttemptRow.run_id == id_)).all()
        if case.stage == "in a cell":
            assert (run.state, run.attempt) == ("succeeded", 2), (case, run.reason)
        first = tried[0] if tried else run
        found = (first.state, first.cause, first.reason)
        assert found == ("lost", "lost", WAYS[case.way][1]), case
        assert (first.output_sha256 is None) == (case.stage == "before a word"), case
        if case.stage == "in a cell":
            kept = platform.context.blobs.get(str(first.output_sha256))
            assert b"so far" in kept, case
    _nothing_is_left(platform)


def _is_there(platform: Contained, id_: str) -> bool:
    try:
        folder = platform.launcher.directory(workload_name(id_, 1))
    except KeyError:
        return False
    return bool((folder / "here").exists())


def _container(platform: Contained, id_: str) -> str:
    return str(platform.launcher._container(workload_name(id_, 1)))


def _nothing_is_left(platform: Contained) -> None:
    platform.duty.tick()
    assert platform.launcher.list() == []
    assert list(platform.launcher._containers()) == []
    assert list((platform.context.data.root / "scratch").iterdir()) == []


@pytest.mark.parametrize("way", ["kill", "stop"])
def test_what_a_real_notebook_had_said_when_its_container_ended_is_kept(
    platform: Contained, way: str
) -> None:
    slow = code("import time\nprint('early', flush=True)\ntime.sleep(1.2)\nprint('half way')")
    content = notebook(code("print('one')"), slow, code("import time; time.sleep(600)"))
    run = platform.run(platform.promote(content, name=f"real-{way}"))
    platform.tick_until(lambda: platform.get(run).progress.cells_done == 2)
    WAYS[way][0](platform.launcher._api, _container(platform, run.id))
    found = platform.finished(run)
    assert (found.state, found.reason) == (RunState.lost, WAYS[way][1])
    cells = json.loads(platform.runs.notebook(ADMIN, run.id)[0])["cells"]
    assert [_said(cell) for cell in cells[:2]] == ["one\n", "early\nhalf way\n"]
    assert "[3/3]" in platform.log(found)
    _nothing_is_left(platform)


def _said(cell: dict[str, Any]) -> str:
    return "".join("".join(output.get("text", "")) for output in cell["outputs"])

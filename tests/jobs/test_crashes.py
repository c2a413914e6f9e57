"""A worker is killed at every transition of a run; the next one finishes that run, once."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from perijove.types.jobs import Cause, Run, RunState
from perijove_hub.context import Context
from perijove_hub.launch import Phase
from perijove_hub.store.migrate import upgrade
from perijove_hub.store.models import ArtifactRow, AuditRow, RunTokenRow
from tests.fixtures.processes import wait_until
from tests.jobs.conftest import ADA, Platform, a_topology
from tests.jobs.nursery import POINTS
from tests.jobs.nursing import Nursery, end, gone
from tests.jobs.programs import DONE, TOLD, described, marking

SIGNALS = (signal.SIGKILL, signal.SIGTERM)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    """A data directory with a queued run, to be copied: migrating each would take longer."""
    context = Context.open(tmp_path_factory.mktemp("prepared") / "data", None)
    upgrade(context.database)
    a_topology().save(context.data.run / "topology.json")
    platform = Platform(context)
    run = platform.run(platform.promote())
    context.database.close()
    return context.data.root, run


@pytest.fixture
def copied(prepared: tuple[Path, Run], tmp_path: Path) -> Iterator[tuple[Platform, Run]]:
    folder, run = prepared
    shutil.copytree(folder, tmp_path / "data")
    context = Context.open(tmp_path / "data", None)
    yield Platform(context), run
    context.database.close()


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("point", POINTS)
def test_whoever_dies_where_the_run_happens_once_and_leaves_nothing(
    copied: tuple[Platform, Run], nursery: Nursery, tmp_path: Path, point: str, number: int
) -> None:
    platform, run = copied
    marks, log = tmp_path / "marks", tmp_path / "log"
    script = marking(marks, "sleep 0.5" if point == "running" else "")
    data = platform.context.data.root
    first = nursery.worker(data, log, script, point=point, signal=number)
    gone(first)
    second = nursery.worker(data, log, script)
    try:
        wait_until(lambda: platform.get(run).state.terminal, what=f"the end of {log.read_text()}")
        wait_until(lambda: not platform.launcher.list(), what="forgetting the workload")
        wait_until(lambda: not any((data / "scratch").iterdir()), what="an empty scratch")
    finally:
        end(second, signal.SIGTERM)
    found = platform.get(run)
    assert (found.state, found.reason, found.attempt) == (RunState.succeeded, None, 1)
    assert found.metrics == {"loss": 0.5} and found.has_output
    assert marks.read_text().split() == [run.id]
    with platform.context.database.reading() as session:
        assert session.scalar(select(func.count()).select_from(RunTokenRow)) == 0
        assert session.scalars(select(ArtifactRow.path)).all() == ["file"]
        ends = select(func.count()).where(AuditRow.verb == "run.end", AuditRow.object == run.id)
        assert session.scalar(ends) == 1


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize(
    "said", ["", TOLD, TOLD + DONE], ids=["before a word", "in a cell", "after its last word"]
)
def test_a_runner_that_is_killed_fails_its_run_and_what_it_left_is_kept(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, said: str, number: int
) -> None:
    script = f"echo hello\n{said}\nkill -{number:d} $$; sleep 60"
    monkeypatch.setattr("perijove_hub.jobs.workload.describe", described(script))
    run = platform.finished(platform.run(platform.promote()))
    # Its own last word does not count against how its process ended.
    assert (run.state, run.cause) == (RunState.failed, Cause.lost)
    assert run.reason and f"ended with signal {number:d}" in run.reason
    assert run.has_output == (DONE in said)
    assert platform.log(run) == "hello\n"
    assert platform.launcher.list() == []


def test_a_real_runner_that_is_told_to_end_says_so(platform: Platform) -> None:
    from tests.jobs.notebooks import code, notebook

    source = "print('up', flush=True)\nimport os, time\nos.kill(os.getppid(), 15)\ntime.sleep(60)"
    run = platform.finished(platform.run(platform.promote(notebook(code(source)))))
    assert (run.state, run.cause) == (RunState.failed, Cause.lost)
    assert run.reason == "Somebody ended the runner's process. Cell 1 was running."
    assert run.has_output and "up" in platform.log(run)


def test_a_shim_that_is_killed_loses_the_run_which_is_tried_again(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    # Its parent is the shim.
    script = marking(marks, f"[ $(wc -l < '{marks}') = 1 ] && kill -9 $PPID && sleep 60")
    monkeypatch.setattr("perijove_hub.jobs.workload.describe", described(script))
    job = platform.promote(policy={"retries": 1, "retry_delay_s": 0})
    run = platform.finished(platform.run(job))
    assert (run.state, run.attempt) == (RunState.succeeded, 2)
    assert marks.read_text().split() == [run.id, run.id]
    assert platform.launcher.list() == []
    assert platform.jobs.get(ADA, job.id).last_run is not None
    assert all(status.phase is not Phase.running for status in platform.launcher.list())

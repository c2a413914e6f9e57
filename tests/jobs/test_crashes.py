"""A worker is killed at every transition of a run; the next one finishes that run, once."""

from __future__ import annotations

import functools
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import func, select

from perijove.types.jobs import Cause, Run, RunState
from perijove_hub.context import Context
from perijove_hub.store.migrate import upgrade
from perijove_hub.store.models import ArtifactRow, AuditRow, RunTokenRow
from tests.fixtures.processes import wait_until
from tests.jobs.conftest import Platform, a_topology
from tests.jobs.notebooks import code, notebook
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


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_whoever_dies_where_the_run_happens_once_and_leaves_nothing(
    prepared: tuple[Path, Run], nursery: Nursery, tmp_path: Path, number: int
) -> None:
    # Side by side, because they mostly wait.
    with ThreadPoolExecutor(5) as pool:
        folders = {point: tmp_path / str(at) for at, point in enumerate(POINTS)}
        done = {
            point: pool.submit(_die_and_follow, prepared, nursery, folder, point, number)
            for point, folder in folders.items()
        }
    failed = {point: str(error) for point, one in done.items() if (error := one.exception())}
    assert not failed


def _die_and_follow(
    prepared: tuple[Path, Run], nursery: Nursery, folder: Path, point: str, number: int
) -> None:
    """Kill a worker at ``point``, have another finish its run, and see what is left."""
    prototype, run = prepared
    data, marks, log = folder / "data", folder / "marks", folder / "log"
    shutil.copytree(prototype, data)
    context = Context.open(data, None)
    platform = Platform(context)
    script = marking(marks, "sleep 0.5" if point == "running" else "")
    # With five side by side on a busy machine, each takes a while.
    wait = functools.partial(wait_until, seconds=90)
    gone(nursery.worker(data, log, script, point=point, signal=number))
    second = nursery.worker(data, log, script)
    try:
        wait(lambda: platform.get(run).state.terminal, what="the run's end")
        wait(lambda: not platform.launcher.list(), what="forgetting the workload")
        wait(lambda: not any((data / "scratch").iterdir()), what="an empty scratch")
    finally:
        end(second, signal.SIGTERM)
    found = platform.get(run)
    assert (found.state, found.reason, found.attempt) == (RunState.succeeded, None, 1)
    assert found.metrics == {"loss": 0.5} and found.has_output
    assert marks.read_text().split() == [run.id]
    with context.database.reading() as session:
        assert session.scalar(select(func.count()).select_from(RunTokenRow)) == 0
        assert session.scalars(select(ArtifactRow.path)).all() == ["file"]
        ends = select(func.count()).where(AuditRow.verb == "run.end", AuditRow.object == run.id)
        assert session.scalar(ends) == 1
    context.database.close()


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

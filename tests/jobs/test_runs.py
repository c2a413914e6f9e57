"""Runs end as they ended, exactly once, whoever dies on the way."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from perijove.runner.journal import KILLED
from perijove.runner.scrub import REMOVED
from perijove.types.base import Visibility
from perijove.types.jobs import Cause, Policy, Resources, Run, RunState
from perijove_hub.jobs import queue, reasons, workload
from perijove_hub.jobs.executor import Executor
from perijove_hub.jobs.names import workload_name
from perijove_hub.launch import Phase, Workload
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import AttemptRow, JobRow, RunRow, RunTokenRow
from perijove_hub.worker import stop_all
from tests.jobs.conftest import ADA, Platform
from tests.jobs.notebooks import code, notebook
from tests.jobs.programs import DONE, TOLD, described, marking

#: Says that it started and leaves a mark outside its folder, so that a second start shows.
COUNTING = "open({path!r}, 'a').write('x')\nprint('started', flush=True)\nimport time\n"


def output_of(platform: Platform, run: Run) -> bytes:
    """Return the output notebook as it is kept."""
    with platform.context.database.reading() as session:
        address = session.get_one(RunRow, run.id).output_sha256
    assert address is not None
    return platform.context.blobs.get(address)


def test_a_run_succeeds_with_output_log_and_progress(platform: Platform) -> None:
    job = platform.promote()
    run = platform.run(job, C=2)
    assert (run.state, run.parameters) == (RunState.queued, {"C": 2.0})
    run = platform.finished(run)
    assert (run.state, run.reason) == (RunState.succeeded, None)
    assert run.progress.cells_done == run.progress.cells_total == 3
    assert run.started_at and run.ended_at and run.peak_memory_mb
    assert run.has_output
    output = json.loads(output_of(platform, run))
    assert output["cells"][2]["outputs"][0]["text"] == "C = 2.0\n"
    assert "C = 2.0\n" in platform.log(run)
    assert platform.jobs.get(ADA, job.id).last_run == run


def test_nothing_is_left_of_an_ended_run_but_its_record(platform: Platform) -> None:
    run = platform.finished(platform.run(platform.promote()))
    assert run.state is RunState.succeeded
    assert platform.launcher.list() == []
    assert list((platform.context.data.root / "scratch").iterdir()) == []
    with platform.context.database.reading() as session:
        assert session.scalar(select(func.count()).select_from(RunTokenRow)) == 0


def test_a_run_finds_who_and_where_it_is(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "the-control-planes-own")
    show = "import os, json; print('ENV', json.dumps(dict(os.environ)))"
    run = platform.finished(platform.run(platform.promote(notebook(code(show)), name="env")))
    line = next(line for line in platform.log(run).splitlines() if line.startswith("ENV"))
    found = json.loads(line.removeprefix("ENV"))
    assert found["PERIJOVE_URL"] == "http://127.0.0.1:1/services/perijove"
    assert found["PERIJOVE_SERVE_URL"] == "http://127.0.0.1:1/services/serve"
    assert found["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:1/services/mlflow"
    assert found["JUPYTERHUB_USER"] == found["USER"] == found["LOGNAME"] == "ada"
    assert (found["PERIJOVE_RUN_ID"], found["PERIJOVE_JOB"]) == (run.id, "env")
    assert found["HOME"] != os.environ["HOME"]
    assert "JUPYTERHUB_API_TOKEN" not in found
    # Its own token is there, and removed from all it leaves behind.
    assert found["PERIJOVE_TOKEN"] == found["MLFLOW_TRACKING_TOKEN"] == REMOVED


def test_a_failing_cell_is_named(platform: Platform) -> None:
    job = platform.promote(notebook(code("1"), code("x = 1\nint('seven')")))
    run = platform.finished(platform.run(job))
    assert run.state is RunState.failed
    assert run.failed_cell == 1
    assert run.reason and run.reason.startswith("Cell 2, line 2 raised ValueError: invalid literal")
    assert run.cause is Cause.cell_error
    assert run.has_output
    assert "ValueError" in platform.log(run)


def test_a_killed_kernel_fails_the_run(platform: Platform) -> None:
    job = platform.promote(notebook(code("import os; os.kill(os.getpid(), 9)"), code("1")))
    run = platform.finished(platform.run(job))
    assert (run.state, run.reason) == (RunState.failed, "The kernel died. Cell 1 was running.")
    assert run.cause is Cause.kernel_died


def test_too_much_memory_fails_the_run_and_keeps_its_output(platform: Platform) -> None:
    job = platform.promote(
        notebook(code("print('before')"), code("x = bytearray(600_000_000)\nwhile True: pass")),
        resources=Resources(memory_mb=400),
    )
    run = platform.finished(platform.run(job))
    assert run.state is RunState.failed
    assert run.reason and run.reason.startswith("It used more than its 400 MiB of memory (peak ")
    assert run.peak_memory_mb and run.peak_memory_mb > 400 and run.cause is Cause.memory
    output = json.loads(output_of(platform, run))
    assert output["cells"][0]["outputs"][0]["text"] == "before\n"


def test_too_much_time_fails_the_run_and_keeps_its_output(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A program in place of the runner, which would take most of the time to start.
    script = "trap 'echo saved > output.ipynb; exit 143' TERM; echo before; sleep 600 & wait"
    monkeypatch.setattr("perijove_hub.jobs.workload.describe", described(script))
    run = platform.finished(platform.run(platform.promote(resources=Resources(timeout_s=2))))
    assert (run.state, run.reason) == (RunState.failed, "It ran longer than its 2 s.")
    assert run.cause is Cause.timeout
    assert output_of(platform, run) == b"saved\n" and platform.log(run) == "before\n"


def test_a_running_run_is_cancelled(platform: Platform) -> None:
    job = platform.promote(notebook(code("print('up', flush=True)\nimport time; time.sleep(600)")))
    run = platform.run(job)
    platform.tick_until(lambda: "up" in platform.log(run))
    platform.tick_until(
        lambda: platform.get(run).progress.current_cell == "print('up', flush=True)"
    )
    platform.runs.cancel(ADA, run.id)
    run = platform.finished(run)
    assert (run.state, run.reason) == (RunState.cancelled, "Cancelled by ada.")
    assert run.cause is Cause.cancelled
    output = json.loads(output_of(platform, run))
    assert output["cells"][0]["outputs"][0]["text"] == "up\n"
    assert platform.runs.cancel(ADA, run.id) == run


def test_a_queued_run_is_cancelled_before_it_starts(platform: Platform) -> None:
    run = platform.run(platform.promote())
    assert platform.runs.cancel(ADA, run.id).state is RunState.cancelled
    platform.duty.tick()
    assert platform.launcher.list() == []
    assert platform.get(run).started_at is None


def test_a_worker_that_dies_mid_run_is_followed_by_one_that_finishes_it_once(
    platform: Platform, tmp_path: Path
) -> None:
    marks, go = tmp_path / "marks", tmp_path / "go"
    source = COUNTING.format(path=str(marks)) + (
        f"import os\nwhile not os.path.exists({str(go)!r}): time.sleep(0.02)\nprint('finished')"
    )
    run = platform.run(platform.promote(notebook(code(source))))
    platform.tick_until(lambda: "started" in platform.log(run))
    platform.restart()
    platform.duty.tick()
    go.touch()
    run = platform.finished(run)
    assert run.state is RunState.succeeded
    assert "finished" in platform.log(run)
    assert marks.read_text() == "x"


def test_one_that_dies_between_claim_and_start_is_followed_by_one_that_starts_it(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = platform.run(platform.promote())
    with monkeypatch.context() as patch:
        patch.setattr(type(platform.launcher), "start", _die)
        with pytest.raises(SystemExit):
            platform.duty.tick()
    assert platform.get(run).state is RunState.running
    platform.restart()
    assert platform.finished(run).state is RunState.succeeded


def test_one_that_dies_between_start_and_record_is_followed_by_one_that_adopts(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    run = platform.run(platform.promote(notebook(code(COUNTING.format(path=str(marks))))))
    with monkeypatch.context() as patch:
        patch.setattr("perijove_hub.jobs.ledger.started", _die)
        with pytest.raises(SystemExit):
            platform.duty.tick()
    assert platform.get(run).started_at is None
    platform.restart()
    assert platform.finished(run).state is RunState.succeeded
    assert marks.read_text() == "x"


def test_one_that_dies_between_record_and_clean_up_leaves_nothing_behind(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = platform.run(platform.promote())
    with monkeypatch.context() as patch:
        patch.setattr(type(platform.launcher), "remove", _die)
        with pytest.raises(SystemExit):
            platform.tick_until(lambda: False)
    assert platform.get(run).state is RunState.succeeded
    platform.restart()
    platform.duty.tick()
    assert platform.launcher.list() == []


def test_a_claim_whose_answer_was_lost_is_found_again(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    monkeypatch.setattr("perijove_hub.jobs.workload.describe", described(marking(marks)))
    run = platform.run(platform.promote())
    real = Executor._claim

    def cut(self: Executor) -> None:
        # The transaction was committed, and the connection broke before it said so.
        claimed = real(self)
        assert claimed is not None and self._epochs.pop(run.id)
        raise OperationalError("COMMIT", {}, Exception("server closed the connection"))

    with monkeypatch.context() as patch:
        patch.setattr(Executor, "_claim", cut)
        with pytest.raises(OperationalError):
            platform.duty.tick()
    assert platform.get(run).state is RunState.running
    assert platform.finished(run).state is RunState.succeeded
    assert marks.read_text().split() == [run.id]


def test_an_old_worker_that_comes_back_changes_nothing(platform: Platform) -> None:
    job = platform.promote(notebook(code("print('up', flush=True)\nimport time; time.sleep(600)")))
    run = platform.run(job)
    platform.tick_until(lambda: "up" in platform.log(run))
    old = platform.duty
    platform.restart()
    platform.duty.tick()
    before = platform.get(run)
    platform.launcher.stop(workload_name(run.id, 1))
    deadline = time.monotonic() + 30
    while platform.launcher.poll(workload_name(run.id, 1)).phase is Phase.running:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    # At once, before it would have renewed its lease and been told; and then told.
    old.tick()
    assert platform.get(run).state is before.state
    old.lease._renew_at = 0.0
    old.tick()
    assert not old.lease.held and platform.get(run).state is before.state
    assert platform.finished(run).state is RunState.cancelled


def test_a_killed_shim_makes_the_run_lost(platform: Platform) -> None:
    job = platform.promote(notebook(code("print('up', flush=True)\nimport time; time.sleep(600)")))
    run = platform.run(job)
    platform.tick_until(lambda: "up" in platform.log(run))
    folder = platform.context.data.workloads / workload_name(run.id, 1)
    os.kill(json.loads((folder / "shim.json").read_text())["pid"], signal.SIGKILL)
    run = platform.finished(run)
    assert (run.state, run.cause) == (RunState.lost, Cause.lost)
    assert run.reason and "vanished" in run.reason
    assert "up" in platform.log(run)
    # What it had put out is made from its journal, by a process of its own.
    [cell] = json.loads(output_of(platform, run))["cells"]
    assert cell["outputs"][-1]["text"].endswith(KILLED)
    assert platform.launcher.list() == []


def test_a_workload_that_no_run_knows_is_stopped(platform: Platform) -> None:
    job = platform.promote(notebook(code("print('up', flush=True)\nimport time; time.sleep(600)")))
    run = platform.run(job)
    platform.tick_until(lambda: "up" in platform.log(run))
    with platform.context.database.session() as session:
        session.delete(session.get(RunRow, run.id))
    platform.tick_until(lambda: platform.launcher.list() == [])


def test_shutting_perijove_down_is_told_of_the_runs_it_ended(platform: Platform) -> None:
    job = platform.promote(notebook(code("print('up', flush=True)\nimport time; time.sleep(600)")))
    run = platform.run(job)
    platform.tick_until(lambda: "up" in platform.log(run))
    stop_all(platform.context)
    platform.restart()
    run = platform.finished(run)
    assert run.state is RunState.cancelled
    assert (run.reason, run.cause) == ("Perijove was shut down while it ran.", Cause.lost)


def test_no_more_runs_at_once_than_the_settings_allow(platform: Platform) -> None:
    platform.context.settings.jobs.concurrency = 1
    job = platform.promote(notebook(code("print('up', flush=True)\nimport time; time.sleep(600)")))
    first, second = platform.run(job), platform.run(job)
    platform.tick_until(lambda: "up" in platform.log(first))
    assert platform.get(second).state is RunState.queued
    platform.runs.cancel(ADA, first.id)
    platform.tick_until(lambda: platform.get(second).state is RunState.running)


def test_deleting_a_job_cancels_its_runs_and_frees_its_name(platform: Platform) -> None:
    job = platform.promote(notebook(code("print('up', flush=True)\nimport time; time.sleep(600)")))
    running, queued = platform.run(job), platform.run(job)
    platform.context.settings.jobs.concurrency = 1
    platform.tick_until(lambda: "up" in platform.log(running))
    platform.jobs.delete(ADA, job.id)
    platform.tick_until(lambda: platform.launcher.list() == [])
    with platform.context.database.reading() as session:
        states = {session.get_one(RunRow, one.id).state for one in (running, queued)}
    assert states == {"cancelled"}
    assert platform.promote().id != job.id


def test_a_notebook_cannot_make_the_worker_read_other_files(
    platform: Platform, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of another user")
    source = (
        "import os\nos.chdir('..')\n"
        "for name in ('events.jsonl', 'output.ipynb', 'output.journal', 'metrics.jsonl'):\n"
        "    if os.path.lexists(name): os.remove(name)\n"
        f"    os.symlink({str(secret)!r}, name)\n"
        "os.kill(os.getppid(), 9)"
    )
    run = platform.finished(platform.run(platform.promote(notebook(code(source)))))
    assert run.state is RunState.failed
    assert run.reason and "ended with signal 9" in run.reason
    assert not run.has_output and run.metrics == {}
    with platform.context.database.reading() as session:
        assert session.get_one(RunRow, run.id).events_sha256 is None


def test_a_run_that_fails_is_tried_again_later_each_time_until_somebody_cancels_it(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = 'echo \'{"name": "loss", "value": 1}\' > metrics.jsonl; echo tried; exit 1'
    monkeypatch.setattr("perijove_hub.jobs.workload.describe", described(script))
    policy = Policy(retries=3, retry_delay_s=600, retry_backoff=3)
    run = platform.run(platform.promote(policy=policy))
    delays = []
    for attempt in (2, 3):
        platform.tick_until(lambda attempt=attempt: platform.get(run).attempt == attempt)
        waiting = platform.get(run)
        assert (waiting.state, waiting.reason, waiting.started_at) == (RunState.queued, None, None)
        assert waiting.metrics == {} and platform.launcher.list() == []
        platform.duty.tick()
        assert platform.get(run) == waiting
        with platform.context.database.session() as session:
            row, now = session.get_one(RunRow, run.id), database_now(session)
            assert row.not_before is not None
            delays.append((row.not_before - now).total_seconds())
            assert session.scalar(select(func.count()).select_from(RunTokenRow)) == 0
            row.not_before = now
    assert [round(delay, -2) for delay in delays] == [600, 1800]
    platform.tick_until(lambda: platform.get(run).attempt == 4)
    platform.runs.cancel(ADA, run.id)
    platform.duty.tick()
    assert platform.get(run).state is RunState.cancelled
    with platform.context.database.reading() as session:
        tries = session.scalars(select(AttemptRow).order_by(AttemptRow.attempt)).all()
    assert [(one.attempt, one.state, one.cause) for one in tries] == [
        (attempt, "failed", "internal") for attempt in (1, 2, 3)
    ]
    first = tries[0]
    assert first.log_sha256 and platform.context.blobs.get(first.log_sha256) == b"tried\n"
    assert first.started_at and first.ended_at and first.reason


#: What the first runners understood: they refuse every other flag.
FIRST = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("notebook")
for flag in ("--parameters", "--output", "--events"):
    parser.add_argument(flag, required=True)
parser.parse_args()
"""


@pytest.mark.parametrize("flag", [(), ("--required-since-ever", "1")])
def test_an_image_with_an_old_runner_still_runs_and_one_that_cannot_says_so(
    platform: Platform,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    flag: tuple[str, ...],
) -> None:
    caplog.set_level(logging.INFO)
    described_now = workload.describe

    def describe(*arguments: Any, **more: Any) -> Workload:
        made = described_now(*arguments, **more)
        rest = " ".join([*made.command[3:], *flag])
        script = f"{sys.executable} -c '{FIRST}' {rest} || exit 2\n{TOLD}{DONE}"
        return replace(made, command=("/bin/sh", "-c", script))

    monkeypatch.setattr("perijove_hub.jobs.workload.describe", describe)
    job = platform.promote(policy=Policy(retries=1))
    run = platform.finished(platform.run(job))
    if not flag:
        assert (run.state, run.attempt) == (RunState.succeeded, 1), run.reason
        assert run.reason == reasons.NO_LIMITS
        assert f"[{reasons.NO_LIMITS}]" in platform.log(run)
        # From now on it is known.
        run = platform.run(job)
        platform.duty.tick()
        assert platform.finished(run).state is RunState.succeeded
        assert "usage" not in platform.log(run)
    else:
        assert (run.state, run.reason) == (RunState.failed, reasons.OLD_RUNNER)
        assert "required-since-ever" in platform.log(run)
    assert "older runner" in caplog.text
    assert "never started" not in caplog.text


def test_what_cannot_go_better_is_not_tried_again(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = '{"event": "ended", "ending": "no_kernel", "error": "There is none."}'
    script = f"echo '{told}' > events.jsonl; exit 6"
    monkeypatch.setattr("perijove_hub.jobs.workload.describe", described(script))
    run = platform.finished(platform.run(platform.promote(policy=Policy(retries=3))))
    assert (run.state, run.cause, run.attempt) == (RunState.failed, Cause.no_kernel, 1)
    assert run.reason == "There is none."


def test_the_queue_goes_by_priority_then_age_and_leaves_room_to_others(platform: Platform) -> None:
    shared = {"visibility": Visibility.group, "group": "research"}
    one = platform.promote(name="one", policy=Policy(concurrency=1), **shared)
    two, own = platform.promote(name="two", **shared), platform.promote(name="own")
    runs = {
        "first": platform.run(one),
        "second": platform.run(one),
        "third": platform.run(two),
        "alone": platform.run(own),
    }
    names = {run.id: name for name, run in runs.items()}
    with platform.context.database.session() as session:
        session.get_one(RunRow, runs["second"].id).priority = 5

        def order(*, group: int | None) -> list[str]:
            taken = []
            while row := queue.following(session, group_concurrency=group):
                taken.append(names[row.id])
                row.state = "running"
                session.flush()
            for run in runs.values():
                session.get_one(RunRow, run.id).state = "queued"
            return taken

        assert order(group=None) == ["second", "third", "alone"]
        assert order(group=1) == ["second", "alone"]
        session.get_one(JobRow, one.id).concurrency = None
        assert order(group=None) == ["second", "first", "third", "alone"]
        assert order(group=2) == ["second", "first", "alone"]
        waiting = session.get_one(RunRow, runs["second"].id)
        waiting.not_before = database_now(session) + timedelta(hours=1)
        assert order(group=None) == ["first", "third", "alone"]


def _die(*_: object, **__: object) -> None:
    raise SystemExit

"""Runs are watched while they go, explained when they fail, and run again."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, select

from perijove.types.base import Visibility
from perijove.types.jobs import Cause, RunAgain, RunState
from perijove_hub.exceptions import Conflict, Invalid, NotFound, Refused
from perijove_hub.jobs import artifacts, cells, failure, wire
from perijove_hub.jobs.render import as_html
from perijove_hub.store.models import ArtifactRow, AttemptRow, RunRow, utcnow
from tests.jobs.conftest import ADA, BOB, GRACE, TUTORIAL, Platform
from tests.jobs.notebooks import code, markdown, notebook

TWO = notebook(code("C: float = 0.5\nkind: str = 'a'", tags=["parameters"]), code("print(C, kind)"))


def ended(platform: Platform, job_id: str, **columns: Any) -> RunRow:
    """Write down a run that has ended, as a worker would have."""
    now = utcnow()
    made: dict[str, Any] = {
        "job_id": job_id,
        "version": 1,
        "owner": "ada",
        "requested_by": "ada",
        "state": "succeeded",
        "started_at": now - timedelta(seconds=60),
        "ended_at": now,
    }
    row = RunRow(**made | columns)
    with platform.context.database.session() as session:
        session.add(row)
    return row


def events(*cells: tuple[str, float], at: float) -> bytes:
    """Write the events of a run whose cells (first line, seconds) ran one after the other."""
    lines: list[dict[str, Any]] = [{"event": "started", "at": at, "cells_total": len(cells)}]
    for number, (line, seconds) in enumerate(cells, 1):
        lines.append({"event": "cell", "at": at, "number": number, "index": number, "line": line})
        at += seconds
        lines.append({"event": "done", "at": at, "number": number})
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def test_a_running_run_shows_its_cells_and_its_notebook_so_far(
    platform: Platform, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    wait = (
        f"import os, time\nwhile not os.path.exists({str(go)!r}):\n"
        "    time.sleep(0.05); print('.', end='')"
    )
    job = platform.promote(notebook(code("print('first')"), code(wait), code("print('last')")))
    run = platform.run(job)
    with pytest.raises(NotFound, match="no output notebook yet"):
        platform.runs.notebook(ADA, run.id)
    assert cells.times(platform.context, platform.launcher, ADA, run.id).cells == []
    platform.tick_until(lambda: platform.get(run).progress.cells_done == 1)
    told = cells.times(platform.context, platform.launcher, ADA, run.id)
    assert told.total == 3
    # The last one has not begun, and no earlier run tells of it.
    assert [cell.line for cell in told.cells] == [
        "print('first')",
        "import os, time",
        "print('last')",
    ]
    first, second, last = told.cells
    assert last.started_at is last.expected_s is None
    assert first.started_at and first.ended_at and second.started_at and not second.ended_at

    def partial() -> bool:
        try:
            return platform.runs.notebook(ADA, run.id)[1]
        except NotFound:
            return False

    platform.tick_until(partial)
    content, _ = platform.runs.notebook(ADA, run.id)
    assert json.loads(content)["cells"][0]["outputs"][0]["text"] == "first\n"
    assert b"killed" not in content and b"still running" in content
    assert "first" in as_html(content)
    go.touch()
    run = platform.finished(run)
    content, still = platform.runs.notebook(ADA, run.id)
    assert not still
    assert json.loads(content)["cells"][2]["outputs"][0]["text"] == "last\n"
    told = cells.times(platform.context, platform.launcher, ADA, run.id)
    assert [cell.number for cell in told.cells] == [1, 2, 3]
    assert all(cell.ended_at for cell in told.cells)


def test_a_failed_run_shows_cell_traceback_and_cause(platform: Platform) -> None:
    source = "\n".join([f"a{n} = {n}" for n in range(30)] + ["int('seven')", "b = 1"])
    parameters = code("C: int = 1", tags=["parameters"])
    job = platform.promote(
        notebook(markdown("# Title"), parameters, code(source), code(" "), code("print('never')"))
    )
    run = platform.finished(platform.run(job, C=2))
    told = cells.times(platform.context, platform.launcher, ADA, run.id)
    assert [(cell.number, cell.index, cell.line) for cell in told.cells] == [
        (1, 1, "C: int = 1"),
        (2, 2, "# Parameters"),
        (3, 3, "a0 = 0"),
        (4, None, "print('never')"),
    ]
    assert [bool(cell.ended_at) for cell in told.cells] == [True, True, True, False]
    found = failure.of_run(platform.context, ADA, run.id)
    assert (found.cause, found.cell, found.line) == (Cause.cell_error, 3, 31)
    assert found.error.startswith("ValueError: invalid literal")
    assert found.source[found.line - found.first_line] == "int('seven')"
    assert "ValueError" in found.traceback
    assert "\x1b" not in found.traceback
    assert found.reason == run.reason
    assert found.left_out == ["22 other lines of the cell."]
    assert found.peak_memory_mb


def test_of_a_run_that_did_not_fail_no_failure_is_shown(platform: Platform) -> None:
    run = ended(platform, platform.promote().id)
    with pytest.raises(NotFound, match="has not failed"):
        failure.of_run(platform.context, ADA, run.id)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"cells": []}', b'{"cells": [{"outputs": [1], "source": 5}]}']
)
def test_a_failure_bears_what_a_notebook_wrote_over_its_output(
    platform: Platform, content: bytes
) -> None:
    address = platform.context.blobs.put(content)
    job = platform.promote()
    run = ended(platform, job.id, state="failed", failed_cell=0, output_sha256=address)
    found = failure.of_run(platform.context, ADA, run.id)
    assert found.left_out == ["The output notebook has no such cell: the run's own code wrote it."]


def test_a_page_of_what_is_no_notebook_is_refused_not_broken() -> None:
    for content in (b"\xff", b"[]", b"{}", b'{"nbformat": 4, "cells": 7}'):
        with pytest.raises(Conflict, match="not as a runner writes it"):
            as_html(content)


def test_events_that_are_none_are_passed_over() -> None:
    hostile = [
        b"\xff\xfe",
        b"[1]",
        b"null",
        b'{"event": "cell"}',
        b'{"event": "cell", "at": 1e999, "number": 1, "line": "x"}',
        b'{"event": "cell", "at": NaN, "number": 1, "line": "x"}',
        b'{"event": "cell", "at": 1, "number": -1, "line": "x"}',
        b'{"event": "cell", "at": 1, "number": 1e300, "line": "x"}',
        b'{"event": "cell", "at": 1, "number": [], "line": "x"}',
        b'{"event": "started", "at": 1, "cells_total": "many"}',
        b'{"event": "done", "at": 1, "number": 77}',
        b'{"event": "cell", "at": 1, "number": 5, "line": "' + b"x" * 10_000 + b'"}',
        b"[" * 3000,
        b'{"event": "cell", "at": 5, "number": 2, "line": "a\\u001b[31mb\\ud800"}',
    ]
    told = cells.parse(b"\n".join(hostile))
    assert told.cells == ((2, None, "a\ufffd[31mb\ufffd", 5.0, None),)


def test_no_more_cells_are_told_than_there_is_room_for() -> None:
    told = cells.parse(events(*[("x", 1.0)] * (cells.MOST + 3), at=0))
    assert (len(told.cells), told.left_out) == (cells.MOST, 3)


def test_times_that_events_make_up_stay_within_the_run(platform: Platform) -> None:
    job = platform.promote()
    address = platform.context.blobs.put(events(("x", 1e9), ("y", 1e12), at=-1e12))
    run = ended(platform, job.id, events_sha256=address)
    told = cells.times(platform.context, platform.launcher, ADA, run.id)
    for cell in told.cells:
        assert cell.started_at and cell.ended_at
        assert run.started_at and run.ended_at
        assert run.started_at <= cell.started_at <= cell.ended_at <= run.ended_at


def test_cells_are_expected_to_take_as_long_as_they_did(platform: Platform) -> None:
    job = platform.promote()
    start = (utcnow() - timedelta(seconds=60)).timestamp()
    for seconds in (2.0, 4.0, 12.0):
        took = events(("load()", seconds), ("print(1)", 1.0), ("print(1)", 3.0), at=start)
        ended(platform, job.id, events_sha256=platform.context.blobs.put(took))
    # What failed says nothing; a cell of another version that begins alike took as long.
    other = platform.context.blobs.put(events(("load()", 50.0), at=start))
    ended(platform, job.id, state="failed", events_sha256=other)
    older = platform.context.blobs.put(events(("gone", 9.0), ("load()", 4.5), at=start))
    ended(platform, job.id, version=2, events_sha256=older)
    run = platform.run(job)
    told = cells.times(platform.context, platform.launcher, ADA, run.id)
    assert [(cell.line, cell.expected_s, cell.started_at) for cell in told.cells] == [
        ("load()", 4.25, None),
        ("print(1)", 1.0, None),
        ("print(1)", 3.0, None),
    ]
    now = ended(
        platform,
        job.id,
        events_sha256=platform.context.blobs.put(events(("load()", 1.0), ("new", 1.0), at=start)),
    )
    told = cells.times(platform.context, platform.launcher, ADA, now.id)
    assert [cell.expected_s for cell in told.cells] == [4.25, None]


def test_a_run_is_expected_to_take_as_long_as_the_last_that_succeeded(
    platform: Platform,
) -> None:
    job = platform.promote()
    assert platform.get(platform.run(job)).expected_s is None
    now = utcnow()
    for seconds in (10, 30, 20):
        ended(platform, job.id, started_at=now, ended_at=now + timedelta(seconds=seconds))
    ended(platform, job.id, state="failed", started_at=now, ended_at=now + timedelta(hours=1))
    assert platform.get(platform.run(job)).expected_s == 20
    last = platform.jobs.get(ADA, job.id).last_run
    assert last and last.expected_s == 20


def test_again_runs_the_same_and_changes_only_what_is_given(platform: Platform) -> None:
    job = platform.promote(TWO)
    slot = utcnow().replace(microsecond=0)
    first = ended(
        platform,
        job.id,
        state="failed",
        slot=slot,
        upstream={"before": "x"},
        parameters={"C": 2.0, "kind": "b"},
    )
    same = platform.runs.again(ADA, first.id, RunAgain(), key=None)
    assert (same.state, same.version, same.parameters) == (
        RunState.queued,
        1,
        {"C": 2.0, "kind": "b"},
    )
    assert (same.trigger, same.rerun_of, same.slot) == ("rerun", first.id, slot)
    with platform.context.database.reading() as session:
        assert session.get_one(RunRow, same.id).upstream == {"before": "x"}
    other = platform.runs.again(ADA, first.id, RunAgain(parameters={"C": 0.5}), key=None)
    assert other.parameters == {"C": 0.5, "kind": "b"}
    with pytest.raises(Invalid, match="Did you mean 'kind'") as refused:
        platform.runs.again(ADA, first.id, RunAgain(parameters={"kinds": "c"}), key=None)
    assert refused.value.field == "parameters.kinds"


def test_again_with_the_latest_version_leaves_out_what_it_no_longer_declares(
    platform: Platform,
) -> None:
    job = platform.promote(TWO)
    first = ended(platform, job.id, parameters={"C": 2.0, "kind": "b"})
    platform.promote(notebook(code("C: float = 0.5", tags=["parameters"]), code("print(C)")))
    assert platform.runs.again(ADA, first.id, RunAgain(), key=None).version == 1
    newest = platform.runs.again(ADA, first.id, RunAgain(latest=True), key=None)
    assert (newest.version, newest.parameters) == (2, {"C": 2.0})


def test_again_twice_with_one_key_is_one_run(platform: Platform) -> None:
    first = ended(platform, platform.promote().id)
    made = {platform.runs.again(ADA, first.id, RunAgain(), key="k").id for _ in range(2)}
    assert len(made) == 1
    with pytest.raises(Conflict):
        platform.runs.again(ADA, first.id, RunAgain(latest=True), key="k")


def test_who_only_sees_a_run_does_not_run_it_again(platform: Platform) -> None:
    job = platform.promote(visibility=Visibility.group, group="research")
    first = ended(platform, job.id)
    with pytest.raises(Refused, match="Only ada may run"):
        platform.runs.again(BOB, first.id, RunAgain(), key=None)
    with pytest.raises(NotFound, match="no such run"):
        platform.runs.again(GRACE, first.id, RunAgain(), key=None)


def test_cancelling_a_queued_run_is_noted_for_the_jobs_that_follow(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: list[tuple[str, str]] = []
    monkeypatch.setattr(
        "perijove_hub.jobs.after.ended", lambda _, run: noted.append((run.id, run.state))
    )
    run = platform.run(platform.promote())
    cancelled = platform.runs.cancel(ADA, run.id)
    assert (cancelled.state, cancelled.cause) == (RunState.cancelled, Cause.cancelled)
    platform.runs.cancel(ADA, run.id)
    assert noted == [(run.id, "cancelled")]


def test_each_attempt_has_its_state_and_its_log(platform: Platform) -> None:
    blobs = platform.context.blobs
    job = platform.promote()
    row = ended(platform, job.id, attempt=2, log_sha256=blobs.put(b"second"))
    log, output = blobs.put(b"first"), blobs.put(json.dumps(TUTORIAL).encode())
    earlier = AttemptRow(run_id=row.id, attempt=1, state="failed", cause="memory")
    earlier.log_sha256, earlier.output_sha256 = log, output
    with platform.context.database.session() as session:
        session.add(earlier)
    tries = platform.runs.attempts(ADA, row.id)
    assert [(one.attempt, one.state, one.cause) for one in tries] == [
        (1, RunState.failed, Cause.memory),
        (2, RunState.succeeded, None),
    ]
    assert platform.runs.logs(ADA, row.id, 0, attempt=1).text == "first"
    assert platform.runs.logs(ADA, row.id, 0, attempt=1).ended
    assert platform.runs.logs(ADA, row.id, 0).text == "second"
    assert json.loads(platform.runs.notebook(ADA, row.id, attempt=1)[0]) == TUTORIAL
    with pytest.raises(NotFound, match="no attempt 3"):
        platform.runs.logs(ADA, row.id, 0, attempt=3)


def test_artifacts_are_downloaded_by_names_that_harm_no_header(platform: Platform) -> None:
    job = platform.promote()
    row = ended(platform, job.id)
    names = ["plots/roc.png", 'a"; filename=evil.exe', "größe\n.txt", "page.html", "a.svg"]
    left = [
        ArtifactRow(run_id=row.id, path=name, sha256=address, bytes=len(name))
        for name, address in ((name, platform.context.blobs.put(name.encode())) for name in names)
    ]
    with platform.context.database.session() as session:
        session.add_all(left)
    for name in names:
        sent = artifacts.send(platform.context, ADA, row.id, name, view=False)
        assert sent.content == name.encode()
        assert sent.media_type == "application/octet-stream"
        disposition = sent.headers["Content-Disposition"]
        assert disposition.startswith('attachment; filename="')
        assert disposition.isascii() and disposition.isprintable()
        assert disposition.count('"') == 2
        assert sent.headers["X-Content-Type-Options"] == "nosniff"
        assert sent.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    seen = {
        name: artifacts.send(platform.context, ADA, row.id, name, view=True).media_type
        for name in (names[0], names[3], names[4])
    }
    assert seen == {
        "plots/roc.png": "image/png",
        "page.html": "text/html; charset=utf-8",
        "a.svg": "image/svg+xml",
    }
    with pytest.raises(Conflict, match="not shown in a page"):
        artifacts.send(platform.context, ADA, row.id, names[1], view=True)
    for path in ("nothing", "../roc.png", "plots", ""):
        with pytest.raises(NotFound):
            artifacts.send(platform.context, ADA, row.id, path, view=False)
    with pytest.raises(NotFound, match="no such run"):
        artifacts.send(platform.context, GRACE, row.id, names[0], view=False)


def test_the_artifacts_of_many_runs_take_one_query(platform: Platform) -> None:
    job = platform.promote()
    with platform.context.database.session() as session:
        for _ in range(20):
            row = RunRow(job_id=job.id, version=1, owner="ada", requested_by="ada")
            session.add(row)
            session.flush()
            session.add(ArtifactRow(run_id=row.id, path="b", sha256="0" * 64, bytes=1))
            session.add(ArtifactRow(run_id=row.id, path="a", sha256="1" * 64, bytes=2))
    asked: list[str] = []
    with platform.context.database.reading() as session:
        rows = session.scalars(select(RunRow)).all()
        event.listen(
            platform.context.database.engine,
            "before_cursor_execute",
            lambda *said: asked.append(said[2]),
        )
        runs = wire.runs(session, rows, {job.id: job.name}, reader=ADA)
    assert len(asked) == 1
    assert {tuple(one.path for one in run.artifacts) for run in runs} == {("a", "b")}


def test_a_series_has_a_jobs_last_runs_oldest_first(platform: Platform) -> None:
    job = platform.promote()
    now = utcnow()
    for number in range(5):
        ended(
            platform,
            job.id,
            queued_at=now + timedelta(seconds=number),
            started_at=now,
            ended_at=now + timedelta(seconds=number),
            metrics={"loss": 1 / (number + 1)},
        )
    points = platform.runs.series(ADA, job.id, limit=3)
    assert [point.seconds for point in points] == [2.0, 3.0, 4.0]
    assert points[-1].metrics == {"loss": 0.2}
    with pytest.raises(NotFound):
        platform.runs.series(GRACE, job.id, limit=3)

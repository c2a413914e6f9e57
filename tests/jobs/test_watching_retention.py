"""Outputs of old runs go when their job keeps them no longer; the records stay."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from perijove.types.jobs import Policy, RunAgain, Schedule
from perijove_hub.exceptions import NotFound
from perijove_hub.jobs import retention
from perijove_hub.store.models import (
    ArtifactRow,
    AttemptRow,
    LooseBlobRow,
    RunRow,
    UpstreamRow,
    utcnow,
)
from perijove_hub.store.sweep import sweep
from tests.jobs.conftest import ADA, Platform
from tests.jobs.test_watching import ended


def old(platform: Platform, job_id: str, days: float, name: str, **columns: Any) -> RunRow:
    """Write down a run that ended days ago and left something of every kind."""
    put = platform.context.blobs.put
    then = utcnow() - timedelta(days=days)
    row = ended(
        platform,
        job_id,
        started_at=then,
        ended_at=then,
        output_sha256=put(f"output {name}".encode()),
        log_sha256=put(f"log {name}".encode()),
        events_sha256=put(f"events {name}".encode()),
        metrics={"loss": 0.5},
        **columns,
    )
    artifact = put_in(platform, f"artifact {name}")
    with platform.context.database.session() as session:
        session.add(ArtifactRow(run_id=row.id, path="a", sha256=artifact, bytes=1))
    return row


def put_in(platform: Platform, content: str) -> str:
    return platform.context.blobs.put(content.encode())


def dropped(platform: Platform, *rows: RunRow) -> list[bool]:
    with platform.context.database.reading() as session:
        return [session.get_one(RunRow, row.id).dropped_at is not None for row in rows]


def test_each_job_keeps_as_long_as_it_says(platform: Platform) -> None:
    platform.context.settings.jobs.keep_days = 30
    short = platform.promote(policy=Policy(keep_days=2, keep_failed_days=10))
    usual = platform.promote(name="usual")
    rows = [
        old(platform, short.id, 3, "1"),
        old(platform, short.id, 1, "2"),
        old(platform, short.id, 3, "3", state="failed"),
        old(platform, short.id, 11, "4", state="lost"),
        old(platform, usual.id, 29, "5"),
        old(platform, usual.id, 31, "6", state="cancelled"),
    ]
    retention.RetentionDuty(platform.context).tick()
    assert dropped(platform, *rows) == [True, False, False, True, False, True]


def test_without_a_word_everything_is_kept(platform: Platform) -> None:
    row = old(platform, platform.promote().id, 5000, "1")
    retention.RetentionDuty(platform.context).tick()
    assert dropped(platform, row) == [False]


def test_a_run_that_has_not_ended_is_left_alone(platform: Platform) -> None:
    job = platform.promote(policy=Policy(keep_days=1))
    rows = [
        old(platform, job.id, 5, state, state=state) for state in ("queued", "running", "failed")
    ]
    retention.RetentionDuty(platform.context).tick()
    assert dropped(platform, *rows) == [False, False, True]


def test_the_record_stays_and_says_what_became_of_the_rest(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    job = platform.promote(policy=Policy(keep_days=1))
    rows = [old(platform, job.id, 5, str(number)) for number in range(5)]
    log, told = put_in(platform, "log of a try"), put_in(platform, "events of a try")
    tried = AttemptRow(run_id=rows[0].id, attempt=0, state="failed")
    tried.log_sha256, tried.events_sha256 = log, told
    with platform.context.database.session() as session:
        session.add(tried)
    # The same log again, of a run that is kept.
    kept = ended(platform, job.id, log_sha256=put_in(platform, "log 0"))
    retention.RetentionDuty(platform.context).tick()
    assert dropped(platform, *rows, kept) == [True] * 5 + [False]
    run = platform.runs.get(ADA, rows[0].id)
    assert (run.metrics, run.has_output, run.artifacts) == ({"loss": 0.5}, False, [])
    assert run.dropped_at
    with pytest.raises(NotFound, match="outputs were deleted on"):
        platform.runs.notebook(ADA, run.id)
    assert platform.runs.logs(ADA, run.id, 0).text == ""
    _sweep_at_once(platform, monkeypatch)
    blobs = platform.context.blobs
    assert blobs.get(put_in(platform, "log 0")) == b"log 0"
    for row in rows:
        assert row.output_sha256 and row.events_sha256
        assert row.output_sha256 not in blobs and row.events_sha256 not in blobs
    assert log not in blobs and told not in blobs


def _sweep_at_once(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perijove_hub.store.sweep.GRACE", timedelta(0))
    with platform.context.database.reading() as session:
        assert session.scalars(select(LooseBlobRow)).all()
    sweep(platform.context.database, platform.context.blobs)


def test_what_a_run_still_needs_is_kept_and_a_rerun_without_it_is_refused(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    first = platform.promote(name="first", policy=Policy(keep_days=1))
    other = platform.promote(name="other")
    last = platform.promote(name="last", schedule=Schedule(after=[first.id, other.id]))
    of_queued, of_running, noted, followed, _ = rows = [
        old(platform, first.id, 9 - at, str(at)) for at in range(5)
    ]
    for run, state in ((of_queued, "queued"), (of_running, "running"), (followed, "succeeded")):
        columns = {"state": state, "trigger": "after", "upstream": {"first": run.id}}
        done = ended(platform, last.id, **columns)
    with platform.context.database.session() as session:
        # Of the two that it follows, the other has not ended a run yet.
        session.get_one(UpstreamRow, (last.id, first.id)).run_id = noted.id
    retention.RetentionDuty(platform.context).tick()
    assert dropped(platform, *rows) == [False, False, False, True, True]
    again = platform.finished(platform.runs.again(ADA, done.id, RunAgain(), key=None))
    assert (again.state, again.cause) == ("failed", "refused")
    assert again.reason and "What the run of 'first' left" in again.reason

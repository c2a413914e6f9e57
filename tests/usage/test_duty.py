"""The worker keeps the book true: to the database's runs, the Hub's servers and the clock."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from perijove.types.jobs import RunState, Schedule
from perijove_hub.context import Context
from perijove_hub.exceptions import Refused
from perijove_hub.jobs.scheduler import Scheduler
from perijove_hub.paths import DataDir
from perijove_hub.store import Database
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import (
    AuditRow,
    BuildRow,
    DeploymentRow,
    ImageRow,
    JobRow,
    JobVersionRow,
    KernelRow,
    PrincipalRow,
    ReplicaRow,
    RunRow,
    ScheduleRow,
    UsageRow,
    WorkspaceRow,
)
from perijove_hub.usage import alive, things
from perijove_hub.usage.duty import UsageDuty
from perijove_hub.usage.quota_duty import QuotaDuty
from perijove_hub.worker import _repeat
from perijove_hub.workspaces.servers import Server
from tests.jobs.conftest import Platform, a_topology
from tests.jobs.test_postgres import at_once
from tests.usage.conftest import SETTINGS, ran


@pytest.fixture
def context(database: Database, tmp_path: Path) -> Context:
    """Settings with sizes and quotas, on either database; no Hub answers."""
    context = Context(SETTINGS, DataDir.open(tmp_path / "data"))
    context.__dict__["database"] = database
    a_topology().save(context.data.run / "topology.json")
    with database.session() as session:
        session.add(PrincipalRow(name="ada", groups=["research", "zoo"]))
    return context


@pytest.fixture
def platform(context: Context) -> Iterator[Platform]:
    yield Platform(context)


def now(context: Context) -> datetime:
    with context.database.reading() as session:
        return database_now(session)


def usage(context: Context, kind: str) -> list[UsageRow]:
    with context.database.reading() as session:
        rows = select(UsageRow).where(UsageRow.kind == kind)
        return list(session.scalars(rows.order_by(UsageRow.started_at)))


def add(context: Context, *rows: Any) -> None:
    with context.database.session() as session:
        for row in rows:
            session.add(row)
            session.flush()


def a_run(context: Context, *, began: timedelta, ended: timedelta | None, **more: Any) -> str:
    start = now(context) - began
    end = now(context) - ended if ended is not None else None
    run = RunRow(
        job_id="job",
        version=1,
        owner="ada",
        requested_by="ada",
        state="running" if end is None else "succeeded",
        started_at=start,
        ended_at=end,
        **more,
    )
    add(context, run)
    return run.id


def see(monkeypatch: pytest.MonkeyPatch, *servers: Server | None) -> None:
    """Say what the Hub says runs; a single ``None`` is a Hub that is away."""
    known = None if servers == (None,) else [one for one in servers if one is not None]
    monkeypatch.setattr(alive, "look", lambda context: alive.Alive(False, [], known))


def a_server(context: Context, **more: Any) -> Server:
    values: dict[str, Any] = {"user": "ada", "name": "", "ready": True, "pending": None}
    values |= {"started_at": now(context), "last_activity": None, "groups": ["research"]}
    return Server(**{**values, **more})


def test_a_run_counts_exactly_as_long_as_it_ran(platform: Platform) -> None:
    context = platform.context
    job = platform.promote(name="one")
    run = platform.run(job)
    ended = platform.finished(run)
    duty = UsageDuty(context)
    # It began and ended between two looks, and is found all the same, and once.
    duty.tick()
    duty.tick()
    UsageDuty(context).tick()
    (row,) = usage(context, "run")
    assert (row.started_at, row.ended_at) == (ended.started_at, ended.ended_at)
    assert (row.user, row.group, row.object) == ("ada", "research", run.id)
    # 4096 MiB: the cheapest size with as much memory.
    assert (row.size, row.price) == ("large", 1.0)


def test_a_run_that_was_seen_ends_when_its_record_says(context: Context) -> None:
    add(context, JobRow(id="job", name="j", owner="ada"))
    version = {"job_id": "job", "version": 1, "created_by": "ada", "notebook_sha256": "0" * 64}
    add(context, JobVersionRow(**version, image="cpu@3", image_digest="sha256:3"))
    number = a_run(context, began=timedelta(hours=2), ended=None)
    duty = UsageDuty(context)
    duty.tick()
    (row,) = usage(context, "run")
    assert row.ended_at is None
    assert (row.image, row.digest) == ("cpu@3", "sha256:3")
    assert timedelta(hours=2) <= row.seen_at - row.started_at < timedelta(hours=2, minutes=1)
    end = now(context) - timedelta(minutes=30)
    with context.database.session() as session:
        run = session.get_one(RunRow, number)
        run.state, run.ended_at = "failed", end
    duty.tick()
    duty.tick()
    (row,) = usage(context, "run")
    assert row.ended_at == end


def test_a_build_and_a_replica_and_a_kernel_count_too(context: Context) -> None:
    hour = timedelta(hours=1)
    image = ImageRow(id="i", name="mine", owner="ada")
    build = BuildRow(image_id="i", version=2, requested_by="ada", state="succeeded")
    build.started_at, build.ended_at = now(context) - hour, now(context) - hour / 2
    deployment = DeploymentRow(name="d", owner="ada", model="m", version=1, workspace="w")
    replica = ReplicaRow(workload="replica-d-1-1", deployment="d", generation=1, state="ready")
    replica.updated_at = now(context) - hour
    starting = ReplicaRow(workload="replica-d-1-2", deployment="d", generation=1)
    kernel = {"user": "ada", "image": "cpu@1", "digest": "sha256:1", "size": "gpu"}
    add(context, image, build, deployment, replica, starting)
    add(context, KernelRow(id="k", **kernel, state="running", group="zoo"))
    add(context, KernelRow(id="waits", **kernel, state="queued"))
    duty = UsageDuty(context)
    duty.tick()
    (built,) = usage(context, "build")
    assert (built.image, built.ended_at) == ("mine@2", build.ended_at)
    (serving,) = usage(context, "replica")
    assert (serving.object, serving.user) == ("replica-d-1-1", "ada")
    assert serving.seen_at - serving.started_at >= hour
    (one,) = usage(context, "kernel")
    assert (one.object, one.gpus, one.price, one.group) == ("k", 1, 2.0, "zoo")


def test_a_workspace_counts_from_its_start_and_ends_where_it_was_last_seen(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = now(context) - timedelta(hours=3)
    row = WorkspaceRow(user="ada", choice={"size": "gpu", "group": "zoo", "runs": "gpu@2"})
    add(context, row)
    see(monkeypatch, a_server(context, started_at=begun))
    duty = UsageDuty(context)
    duty.tick()
    (one,) = usage(context, "workspace")
    assert (one.started_at, one.object, one.size) == (begun, "ada/", "gpu")
    assert (one.group, one.image, one.gpus) == ("zoo", "gpu@2", 1)
    see(monkeypatch, None)
    duty.tick()
    assert usage(context, "workspace")[0].ended_at is None, "a Hub that is away proves nothing"
    see(monkeypatch)
    duty.tick()
    (one,) = usage(context, "workspace")
    assert one.ended_at == one.seen_at


def test_a_restart_that_nobody_saw_is_two_stretches_without_the_gap(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    see(monkeypatch, a_server(context, started_at=now(context) - timedelta(hours=5)))
    UsageDuty(context).tick()
    with context.database.session() as session:
        (row,) = session.scalars(select(UsageRow))
        row.seen_at -= timedelta(hours=4)
    again = now(context) - timedelta(hours=1)
    see(monkeypatch, a_server(context, started_at=again))
    UsageDuty(context).tick()
    one, two = usage(context, "workspace")
    assert one.ended_at == one.seen_at < two.started_at == again
    assert two.ended_at is None


def test_one_that_is_being_started_is_not_closed_and_not_charged_for_long(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    see(monkeypatch, a_server(context, ready=False, pending="spawn"))
    UsageDuty(context).tick()
    assert usage(context, "workspace") == []


def test_two_workers_at_once_write_one_stretch(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    see(monkeypatch, a_server(context, started_at=now(context) - timedelta(hours=1)))
    failed = [one for one in at_once(*[UsageDuty(context).tick for _ in range(4)]) if one]
    UsageDuty(context).tick()
    assert len(usage(context, "workspace")) == 1
    assert not failed, failed


def test_over_its_quota_a_group_is_warned_then_stopped_and_forgiven_when_below(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped: list[tuple[str, str]] = []
    monkeypatch.setattr(
        "perijove_hub.workspaces.servers.stop",
        lambda context, user, server: stopped.append((user, server)),
    )
    moment = now(context)
    running = {"user": "ada", "group": "research", "started_at": moment, "seen_at": moment}
    add(
        context,
        WorkspaceRow(user="ada", server="big"),
        UsageRow(kind="workspace", object="ada/big", gpus=1, price=0, **running),
        UsageRow(kind="workspace", object="ada/", gpus=0, price=0, **running),
        UsageRow(kind="kernel", object="k", gpus=1, **running),
        KernelRow(id="k", user="ada", image="i", digest="d", size="gpu", state="running"),
    )
    duty = QuotaDuty(context)
    duty.tick()
    assert {row.warned_at for row in usage(context, "workspace")} == {None}
    ran(context.database, moment - timedelta(hours=11), moment, gpus=1, price=0)
    duty.tick()
    warned = {row.object: row.warned_at for row in usage(context, "workspace") if row.object}
    assert warned["ada/big"] is not None
    assert warned["ada/"] is None, "it has no GPU, so the GPU-hours do not concern it"
    assert stopped == []
    duty = QuotaDuty(context, grace=timedelta(0))
    duty.tick()
    duty.tick()
    assert set(stopped) == {("ada", "big")}
    with context.database.reading() as session:
        assert session.get_one(KernelRow, "k").stop_requested
        ending = session.get_one(WorkspaceRow, ("ada", "big")).ending
        audit = list(session.scalars(select(AuditRow.verb).order_by(AuditRow.id)))
    assert ending is not None
    assert "11 of its 10 GPU-hours" in ending
    assert audit == ["quota.warn", "quota.warn", "quota.stop", "quota.stop"]
    monkeypatch.setattr(SETTINGS.usage.quotas["research"], "gpu_hours", 20.0)
    duty.tick()
    open_ = [row for row in usage(context, "workspace") if row.ended_at is None]
    assert [row.warned_at for row in open_] == [None, None]


def test_a_hub_that_is_away_does_not_stop_the_duty(context: Context) -> None:
    moment = now(context)
    row = {"user": "ada", "group": "research", "started_at": moment, "seen_at": moment}
    add(context, UsageRow(kind="workspace", object="ada/", price=0, **row))
    ran(context.database, moment - timedelta(hours=101), moment, object="x", price=0)
    QuotaDuty(context, grace=timedelta(0)).tick()
    assert usage(context, "workspace")[-1].warned_at is not None


def test_a_job_of_a_group_over_its_quota_is_refused_and_its_schedule_says_why(
    platform: Platform,
) -> None:
    context = platform.context
    job = platform.promote(name="nightly", schedule=Schedule(cron="* * * * *"))
    moment = now(context)
    ran(context.database, moment - timedelta(hours=101), moment, price=0)
    with pytest.raises(Refused) as refused:
        platform.run(job)
    assert "101 of its 100 hours" in refused.value.detail
    with context.database.session() as session:
        session.get_one(ScheduleRow, job.id).next_slot = moment.replace(second=0, microsecond=0)
    Scheduler(context).step()
    with context.database.reading() as session:
        (run,) = session.scalars(select(RunRow))
    assert run.state == RunState.failed.value
    assert "101 of its 100 hours" in (run.reason or "")
    assert run.ended_at is not None


def test_a_database_that_goes_away_in_between_leaves_the_book_as_it_was(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    see(monkeypatch, a_server(context))
    calls = []

    def broken(session: Any, settings: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise OperationalError("select", {}, Exception("server closed the connection"))
        stopping.set()
        return []

    monkeypatch.setattr(things, "replicas", broken)
    stopping = threading.Event()
    duty = UsageDuty(context)
    duty.period = 0.01
    with pytest.raises(OperationalError):
        duty.tick()
    assert usage(context, "workspace") == [], "what was begun is rolled back"
    # The worker's loop tries again.
    _repeat(duty, stopping)
    assert len(usage(context, "workspace")) == 1

"""The worker keeps the book true: to the database's runs, the Hub's servers and the clock."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from perijove.types.base import Principal
from perijove.types.culling import ActivityReport, Idleness, KeepAlive
from perijove.types.jobs import RunState, Schedule
from perijove.types.kernels import KernelState
from perijove_hub.context import Context
from perijove_hub.culling.duty import CullDuty
from perijove_hub.culling.service import CullingService
from perijove_hub.exceptions import Conflict, Refused
from perijove_hub.jobs.scheduler import Scheduler
from perijove_hub.kernels import ledger as kernels
from perijove_hub.paths import DataDir
from perijove_hub.store import Database
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import (
    AttemptRow,
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
from perijove_hub.usage.service import UsageService
from perijove_hub.worker import _repeat
from perijove_hub.workspaces import servers
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


def test_every_try_of_a_run_counts(context: Context) -> None:
    add(context, JobRow(id="job", name="j", owner="ada"))
    version = {"job_id": "job", "version": 1, "created_by": "ada", "notebook_sha256": "0" * 64}
    add(context, JobVersionRow(**version))
    hours = [timedelta(hours=number) for number in (4, 3, 2, 1)]
    number = a_run(context, began=hours[2], ended=hours[3], attempt=2)
    start, end = (now(context) - ago for ago in hours[:2])
    tried = {"run_id": number, "attempt": 1, "state": "failed"}
    add(context, AttemptRow(**tried, started_at=start, ended_at=end))
    duty = UsageDuty(context)
    duty.tick()
    duty.tick()
    first, second = usage(context, "run")
    assert (first.object, first.started_at, first.ended_at) == (number, start, end)
    assert second.object == f"{number}-2"
    assert second.ended_at is not None and second.ended_at - second.started_at > hours[3] * 0.9


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


@pytest.fixture
def research(context: Context, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two workspaces and a kernel of ada's that run for research; what is stopped is noted."""
    began = now(context) - timedelta(hours=1)
    names = {"big": 1, "": 0}
    running = [a_server(context, name=name, started_at=began) for name in names]
    see(monkeypatch, *running)
    monkeypatch.setattr(servers, "running", lambda _: running)
    stopped: list[str] = []
    monkeypatch.setattr(
        servers, "stop", lambda _, user, server="": stopped.append(f"{user}/{server}")
    )
    of = {"user": "ada", "group": "research", "started_at": began, "seen_at": now(context)}
    kernel = {"user": "ada", "image": "i", "digest": "d", "size": "gpu", "state": "running"}
    choice = {"size": "gpu", "group": "research"}
    for name, gpus in names.items():
        add(
            context,
            WorkspaceRow(user="ada", server=name, choice=choice, started_at=began),
            UsageRow(kind="workspace", object=f"ada/{name}", size="gpu", gpus=gpus, **of),
        )
    add(
        context,
        UsageRow(kind="kernel", object="k", gpus=1, size="gpu", image="i", digest="d", **of),
        KernelRow(id="k", group="research", **kernel),
    )
    return stopped


def use_up(context: Context) -> None:
    """Let research have used eleven of its ten GPU-hours."""
    moment = now(context)
    ran(context.database, moment - timedelta(hours=11), moment, gpus=1, price=0)


def warned(context: Context) -> dict[str, datetime | None]:
    """Return when each thing that runs was warned."""
    with context.database.reading() as session:
        rows = session.scalars(select(UsageRow).where(UsageRow.ended_at.is_(None)))
        return {row.object: row.warned_at for row in rows}


def workspace_row(context: Context, server: str = "big") -> WorkspaceRow:
    with context.database.reading() as session:
        return session.get_one(WorkspaceRow, ("ada", server))


def kernel_row(context: Context) -> KernelRow:
    with context.database.reading() as session:
        return session.get_one(KernelRow, "k")


def verbs(context: Context, beginning: str) -> list[str]:
    with context.database.reading() as session:
        found = session.scalars(select(AuditRow.verb).order_by(AuditRow.id))
        return [verb for verb in found if verb.startswith(beginning)]


def test_over_its_quota_a_group_is_warned_and_stopped_when_its_grace_is_over(
    context: Context, research: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SETTINGS.usage, "grace_minutes", 5)
    me = Principal(name="ada", groups=["research"])
    QuotaDuty(context).tick()
    assert set(warned(context).values()) == {None}
    use_up(context)
    QuotaDuty(context).tick()
    told = warned(context)
    assert told["ada/"] is None, "it has no GPU, so the GPU-hours do not concern it"
    assert told["ada/big"] is not None
    assert told["k"] is not None

    # Whoever asks hears why, and when it is over.
    one = next(one for one in UsageService(context).mine(me).running if one.object == "ada/big")
    assert "13 of its 10 GPU-hours" in (one.warning or "")
    assert one.stops_at == told["ada/big"] + timedelta(minutes=5)

    # A control plane that was away and comes back neither begins the grace again nor ends it.
    with context.database.session() as session:
        for row in session.scalars(select(UsageRow).where(UsageRow.ended_at.is_(None))):
            row.seen_at -= timedelta(minutes=5)
    UsageDuty(context).tick()
    QuotaDuty(context).tick()
    CullDuty(context).tick()
    assert warned(context) == told
    assert not kernel_row(context).stop_requested
    assert "stopped_because" not in workspace_row(context).activity
    assert now(context) < one.stops_at

    with context.database.session() as session:
        for row in session.scalars(select(UsageRow).where(UsageRow.warned_at.is_not(None))):
            row.warned_at -= timedelta(minutes=5)
    QuotaDuty(context).tick()
    QuotaDuty(context).tick()
    assert kernel_row(context).stop_requested
    assert "13 of its 10 GPU-hours" in (kernel_row(context).reason or "")

    # The workspace makes its checkpoints first, which keeping it alive does not prevent.
    CullDuty(context).tick()
    assert research == []
    culling = CullingService(context)
    busy = ActivityReport(server="big", last_activity=now(context))
    state = culling.report(me, busy)
    assert state.state is Idleness.stopping
    assert "13 of its 10 GPU-hours" in (state.reason or "")
    with pytest.raises(Conflict, match="13 of its 10 GPU-hours"):
        culling.keep(me, KeepAlive(server="big"))
    culling.report(me, busy.model_copy(update={"checkpointed": True}))
    CullDuty(context).tick()
    assert research == ["ada/big"]
    assert "13 of its 10 GPU-hours" in (workspace_row(context).ending or "")
    assert verbs(context, "quota.") == ["quota.warn", "quota.warn", "quota.stop", "quota.stop"]
    assert verbs(context, "workspace.cull") == []


@pytest.mark.parametrize("asked", [False, True])
def test_a_raised_quota_calls_the_end_off_even_while_checkpoints_are_made(
    context: Context, research: list[str], monkeypatch: pytest.MonkeyPatch, asked: bool
) -> None:
    monkeypatch.setattr(SETTINGS.usage, "grace_minutes", 0 if asked else 1)
    use_up(context)
    QuotaDuty(context).tick()
    assert warned(context)["ada/big"] is not None
    assert ("stopped_because" in workspace_row(context).activity) is asked
    monkeypatch.setattr(SETTINGS.usage.quotas["research"], "gpu_hours", 20.0)
    # As after the restart that reads the settings.
    QuotaDuty(context).tick()
    assert set(warned(context).values()) == {None}
    monkeypatch.setattr(SETTINGS.usage, "grace_minutes", 0)
    QuotaDuty(context).tick()
    CullDuty(context).tick()
    assert research == []
    assert workspace_row(context).ending is None
    state = CullingService(context).state(Principal(name="ada"), "big")
    assert (state.state is not Idleness.stopping, state.reason) == (True, None)
    # What was asked of a kernel cannot be taken back.
    assert kernel_row(context).stop_requested is asked


def test_a_quota_that_is_gone_calls_its_warnings_off(
    context: Context, research: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    use_up(context)
    QuotaDuty(context).tick()
    monkeypatch.setattr(SETTINGS.usage, "quotas", {})
    QuotaDuty(context).tick()
    assert set(warned(context).values()) == {None}


def test_several_workers_at_once_warn_stop_and_count_each_thing_once(
    context: Context, research: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SETTINGS.usage, "grace_minutes", 0)
    use_up(context)
    duties = [*[QuotaDuty(context) for _ in range(3)], *[UsageDuty(context) for _ in range(3)]]
    assert at_once(*[duty.tick for duty in duties]) == [None] * 6
    assert verbs(context, "quota.") == ["quota.warn", "quota.stop"] * 2
    assert sorted(warned(context)) == ["ada/", "ada/big", "k"]
    # The kernel ends while both look.
    row = kernel_row(context)
    end = partial(_finish, context, row)
    assert at_once(*[duty.tick for duty in duties], end) == [None] * 7
    UsageDuty(context).tick()
    hours = sum((one.seen_at - one.started_at).total_seconds() for one in usage(context, "kernel"))
    assert hours == pytest.approx(3600, abs=60)


def _finish(context: Context, row: KernelRow) -> None:
    with context.database.session() as session:
        kernels.finish(session, row, KernelState.ended, None)


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

"""Leases of who is gone come back, of who is only late do not."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from perijove_hub.context import Context
from perijove_hub.gpus import leases
from perijove_hub.gpus.duty import GpuDuty
from perijove_hub.paths import DataDir
from perijove_hub.settings import GpuSettings, Settings
from perijove_hub.store import Database
from perijove_hub.store.models import (
    AuditRow,
    DeploymentRow,
    GpuLeaseRow,
    GpuRow,
    JobRow,
    ReplicaRow,
    RunRow,
    utcnow,
)
from perijove_hub.usage import alive
from perijove_hub.usage.alive import Alive, Container
from perijove_hub.workspaces.servers import Server
from tests.jobs.conftest import a_topology

HOUR = timedelta(hours=1)


@pytest.fixture
def context(database: Database, tmp_path: Path) -> Context:
    """Six devices that the settings name, on either database; no Hub answers."""
    devices = [f"GPU-{at:04}" for at in range(6)]
    settings = Settings(gpus=GpuSettings(devices=devices))
    context = Context(settings, DataDir.open(tmp_path / "data"))
    context.__dict__["database"] = database
    a_topology().save(context.data.run / "topology.json")
    return context


def hold(context: Context, kind: str, holder: str, *, since: timedelta = HOUR) -> None:
    with context.database.session() as session:
        assert leases.acquire(session, kind=kind, holder=holder, user="ada", gpus=1)
        for row in session.scalars(select(GpuLeaseRow).where(GpuLeaseRow.holder == holder)):
            row.acquired_at -= since


def held(context: Context) -> set[str]:
    with context.database.reading() as session:
        return set(session.scalars(select(GpuLeaseRow.holder)))


def see(monkeypatch: pytest.MonkeyPatch, seen: Alive) -> None:
    # What lives is the Hub's and the engine's word, which tests/docker has for real.
    monkeypatch.setattr(alive, "look", lambda context: seen)


def server(user: str) -> Server:
    return Server(user, "", ready=True, pending=None, started_at=None, last_activity=None)


def test_at_its_start_the_duty_finds_the_devices(context: Context) -> None:
    GpuDuty(context).tick()
    with context.database.reading() as session:
        assert leases.free(session) == (6, 6)


def test_only_who_is_missed_twice_and_held_a_while_loses_its_lease(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    duty = GpuDuty(context)
    duty.tick()
    with context.database.session() as session:
        session.add(JobRow(id="job", name="j", owner="ada"))
        session.add(DeploymentRow(name="d", owner="ada", model="m", version=1, workspace="w"))
        session.flush()
        run = {"job_id": "job", "version": 1, "owner": "ada", "requested_by": "ada"}
        session.add(RunRow(id="runs", state="running", **run))
        session.add(RunRow(id="ended", state="lost", **run))
        session.add(ReplicaRow(workload="replica-d-1-1", deployment="d", generation=1))
    hold(context, "run", "runs")
    hold(context, "run", "ended")
    hold(context, "replica", "replica-d-1-1")
    hold(context, "workspace", "ada/")
    hold(context, "workspace", "gone/")
    hold(context, "workspace", "late/", since=timedelta(0))
    see(monkeypatch, Alive(docker=True, containers=[], servers=[server("ada")]))
    everybody = held(context)
    duty.tick()
    assert held(context) == everybody, "one miss is no proof"
    GpuDuty(context).tick()
    assert held(context) == everybody, "a new worker counts anew"
    duty.tick()
    assert held(context) == everybody - {"ended", "gone/"}
    with context.database.reading() as session:
        released = session.scalars(select(AuditRow.object).where(AuditRow.verb == "gpu.release"))
        assert set(released) == {"ended", "gone/"}


def test_a_container_that_runs_keeps_its_gpu_whatever_the_hub_thinks(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    duty = GpuDuty(context)
    duty.tick()
    hold(context, "workspace", "ada/")
    box = Container("1", "c", "workspace", "ada/", "ada", utcnow())
    see(monkeypatch, Alive(docker=True, containers=[box], servers=[]))
    for _ in range(3):
        duty.tick()
    assert held(context) == {"ada/"}


@pytest.mark.parametrize(
    "seen",
    [
        Alive(docker=True, containers=None, servers=[]),
        Alive(docker=True, containers=[], servers=None),
    ],
)
def test_with_engine_or_hub_away_no_workspace_loses_anything(
    context: Context, monkeypatch: pytest.MonkeyPatch, seen: Alive
) -> None:
    duty = GpuDuty(context)
    duty.tick()
    hold(context, "workspace", "ada/")
    see(monkeypatch, seen)
    for _ in range(3):
        duty.tick()
    assert held(context) == {"ada/"}


def test_who_came_back_meanwhile_keeps_the_new_lease(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    duty = GpuDuty(context)
    duty.tick()
    hold(context, "workspace", "ada/")
    see(monkeypatch, Alive(docker=True, containers=[], servers=[]))
    duty.tick()
    with context.database.session() as session:
        leases.release(session, "workspace", "ada/")
    hold(context, "workspace", "ada/", since=timedelta(minutes=10))
    duty.tick()
    assert held(context) == {"ada/"}


def test_a_driver_that_breaks_leaves_the_devices_as_they_were(
    context: Context, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    duty = GpuDuty(context)
    duty.tick()
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nexit 9\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    duty.tick()
    with context.database.reading() as session:
        assert all(session.scalars(select(GpuRow.present)))
        assert leases.free(session) == (6, 6)

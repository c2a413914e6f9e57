"""What the worker asks the launcher for, and what it makes of what it finds."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from pathlib import Path

import pytest

from perijove.types.base import Principal
from perijove.types.kernels import KernelCreate, KernelRestart, KernelState
from perijove_hub.context import Context, Topology
from perijove_hub.engine import Sandbox
from perijove_hub.gpus import leases
from perijove_hub.images import service as images
from perijove_hub.kernels import duty as duties
from perijove_hub.kernels import ledger, sizes
from perijove_hub.kernels.service import KernelService
from perijove_hub.launch import LaunchError, NameTaken, Phase, Status, Workload
from perijove_hub.paths import DataDir
from perijove_hub.settings import Settings, SizeSettings
from perijove_hub.store import Database
from perijove_hub.store.models import (
    AuditRow,
    GpuLeaseRow,
    GpuRow,
    KernelRow,
    PrincipalRow,
    UsageRow,
    utcnow,
)
from tests.gpus.conftest import database, postgres_url
from tests.jobs.test_postgres import at_once

__all__ = ["database", "postgres_url"]


@dataclasses.dataclass
class Engine:
    """A launcher that only remembers; the containers it would make are in ``started``."""

    started: dict[str, Workload] = dataclasses.field(default_factory=dict)
    statuses: dict[str, Status] = dataclasses.field(default_factory=dict)
    stopped: list[str] = dataclasses.field(default_factory=list)
    failure: Exception | None = None

    def start(self, workload: Workload) -> None:
        if self.failure is not None:
            raise self.failure
        if workload.name in self.statuses:
            raise NameTaken(workload.name)
        self.started[workload.name] = workload
        self.statuses[workload.name] = Status(
            workload.name,
            Phase.running,
            workload.labels,
            address="127.0.0.1",
            started_at=utcnow(),
        )

    def list(self) -> list[Status]:
        return list(self.statuses.values())

    def stop(self, name: str) -> None:
        self.stopped.append(name)

    def remove(self, name: str) -> None:
        # As the launchers do: what another worker has removed is gone, and no fault.
        removed = self.statuses.pop(name, None)
        assert removed is None or removed.phase is not Phase.running

    def end(self, name: str, **how: object) -> None:
        """Let a workload end."""
        self.statuses[name] = dataclasses.replace(
            self.statuses[name], phase=Phase.ended, **{"exit_code": 0, **how}
        )


@pytest.fixture
def docker(database: Database, tmp_path: Path) -> Context:
    """A Perijove whose kernels are containers, with one GPU, on either database."""
    context = Context(Settings(), DataDir.open(tmp_path / "data"))
    context.__dict__["database"] = database
    Topology(
        public_url="http://127.0.0.1:8000",
        hub_api_url="http://127.0.0.1:8081/hub/api",
        host="172.30.0.1",
        api_port=18010,
        mlflow_port=18011,
        gateway_port=18012,
        spawner="docker",
    ).save(context.data.run / "topology.json")
    context.settings.workspaces.sizes = {
        "small": SizeSettings(memory_mb=1024),
        "gpu": SizeSettings(memory_mb=2048, gpus=1, cpu=3),
        "more": SizeSettings(memory_mb=4096, gpus=1),
        "risky": SizeSettings(memory_mb=8192, gpus=1, groups=["risk"]),
    }
    with context.database.session() as session:
        session.add(GpuRow(id="GPU-0"))
        for user, group in {"ada": "research", "emmy": "research", "grace": "risk"}.items():
            session.add(PrincipalRow(name=user, groups=[group]))
        images.register_builtin(
            session, "cpu", digest="sha256:cpu", description="", interfaces=["lab"]
        )
    return context


def add(context: Context, **more: object) -> str:
    """Queue a kernel of ada's; return its id."""
    values = {"user": "ada", "image": "cpu@1", "digest": "sha256:cpu", "size": "gpu", **more}
    with context.database.session() as session:
        row = KernelRow(**values)
        session.add(row)
        session.flush()
        return row.id


def row(context: Context, kernel_id: str) -> KernelRow:
    with context.database.reading() as session:
        return session.get_one(KernelRow, kernel_id)


def test_the_container_gets_the_leased_device_the_image_and_the_home(docker: Context) -> None:
    engine = Engine()
    kernel = add(docker)
    duties.KernelDuty(docker, engine).tick()
    [workload] = engine.started.values()
    assert workload.name == f"kernel-{kernel}-1"
    assert (workload.image, workload.gpus, workload.cpu) == ("sha256:cpu", ("GPU-0",), 3)
    assert workload.memory_mb == 2048
    assert [mount.target for mount in workload.mounts] == ["/home/perijove"]
    assert workload.mounts[0].source == str(docker.data.homes / "ada")
    # At ports that never change, whatever ours are.
    assert workload.environment["PERIJOVE_URL"] == "http://172.30.0.1:8010/services/perijove"
    assert not [name for name in workload.environment if "TOKEN" in name or "SECRET" in name]
    box = Sandbox(network="n", memory_mb=1, gpus=workload.gpus)
    assert box.host_config()["device_requests"] == [
        {"Driver": "nvidia", "DeviceIDs": ["GPU-0"], "Capabilities": [["gpu"]]}
    ]


def test_who_waits_for_a_gpu_is_served_in_order(docker: Context) -> None:
    engine = Engine()
    duty = duties.KernelDuty(docker, engine)
    first, second, third = (add(docker) for _ in range(3))
    quick = add(docker, size="small")
    duty.tick()
    assert set(engine.started) == {f"kernel-{first}-1", f"kernel-{quick}-1"}
    in_use = "Waiting for a GPU: 1 of 1 is in use (you)"
    assert row(docker, second).reason == f"{in_use}; you are next."
    assert row(docker, third).reason == f"{in_use}; 1 before you."
    with docker.database.session() as session:
        ledger.ask_to_stop(session, session.get_one(KernelRow, second), "Stopped by you.")
        ledger.ask_to_stop(session, session.get_one(KernelRow, first), "Stopped by you.")
    duty.tick()
    assert row(docker, second).state == "ended"
    duty.tick()
    # It is asked once: each time is the beginning of its grace.
    assert engine.stopped == [f"kernel-{first}-1"]
    engine.end(f"kernel-{first}-1")
    duty.tick()
    duty.tick()
    assert f"kernel-{third}-1" in engine.started


def test_who_waits_reads_the_names_of_their_own_group_only(docker: Context) -> None:
    with docker.database.session() as session:
        session.add_all([GpuRow(id="GPU-1"), GpuRow(id="GPU-2")])
    engine = Engine()
    for user in ("emmy", "grace", "grace"):
        add(docker, user=user)
    kernel, other = add(docker), add(docker, user="stranger")
    duties.KernelDuty(docker, engine).tick()
    assert len(engine.started) == 3
    in_use = "Waiting for a GPU: 3 of 3 are in use"
    assert row(docker, kernel).reason == f"{in_use} (emmy, 1 other); you are next."
    # In no group that anybody knows of.
    assert row(docker, other).reason == f"{in_use} (2 others); 1 before you."


def test_two_workers_at_once_start_each_kernel_once_and_lease_each_gpu_once(
    docker: Context,
) -> None:
    kernels = [add(docker) for _ in range(3)] + [add(docker, size="small") for _ in range(3)]
    engine = Engine()
    workers = [duties.KernelDuty(docker, engine) for _ in range(4)]
    for _ in range(3):
        assert at_once(*[worker.tick for worker in workers]) == [None] * 4
    # The launcher refuses a second one of the same name; here each was asked for by its name.
    running = {kernel for kernel in kernels if f"kernel-{kernel}-1" in engine.started}
    assert running == {kernels[0], *kernels[3:]}
    with docker.database.reading() as session:
        [lease] = session.query(GpuLeaseRow)
        assert lease.holder == kernels[0]
        assert session.query(UsageRow).count() == 0
    for kernel in running:
        engine.end(f"kernel-{kernel}-1")
    for _ in range(3):
        assert at_once(*[worker.tick for worker in workers]) == [None] * 4
    assert {row(docker, kernel).state for kernel in running} == {"ended"}
    with docker.database.reading() as session:
        ends = session.query(AuditRow).filter_by(verb="kernel.end").count()
    assert ends == len(running)


def test_what_comes_at_once_happens_once(docker: Context) -> None:
    service = KernelService(docker)
    me = Principal(name="ada", groups=["research"])
    body = KernelCreate(size="gpu")
    made = at_once(*[lambda: service.create(me, body, key="one") for _ in range(5)])
    [kernel] = {one.id for one in made}
    engine = Engine()
    duties.KernelDuty(docker, engine).tick()
    again = KernelRestart(attempt=1)
    at_once(
        *[lambda: service.restart(me, kernel, again) for _ in range(4)],
        *[duties.KernelDuty(docker, engine).tick for _ in range(2)],
    )
    assert row(docker, kernel).attempt == 2
    # A stop that comes with a restart is not lost, whichever is first.
    for attempt in (2, 3, 4):
        at_once(
            lambda: service.stop(me, kernel),
            lambda now=attempt: service.restart(me, kernel, KernelRestart(attempt=now)),
        )
        found = row(docker, kernel)
        assert found.attempt == attempt + 1
        assert (found.stop_requested, found.reason) in [(True, "Stopped by you."), (False, None)]
    service.stop(me, kernel)
    duties.KernelDuty(docker, engine).tick()
    for name in list(engine.statuses):
        engine.end(name)
    for _ in range(2):
        duties.KernelDuty(docker, engine).tick()
    assert row(docker, kernel).state == "ended"
    with docker.database.reading() as session:
        assert session.query(GpuLeaseRow).count() == 0


def test_a_worker_killed_after_the_lease_starts_the_kernel_it_decided_on(docker: Context) -> None:
    kernel = add(docker)
    with docker.database.session() as session:
        found = session.get_one(KernelRow, kernel)
        found.state, found.ports = "starting", [9100]
        leases.acquire(session, kind="kernel", holder=kernel, user="ada", gpus=1)
    engine = Engine()
    duties.KernelDuty(docker, engine).tick()
    [workload] = engine.started.values()
    assert workload.gpus == ("GPU-0",)
    # And one killed after the start adopts it.
    duties.KernelDuty(docker, engine).tick()
    assert len(engine.statuses) == 1
    assert row(docker, kernel).state == "starting"


def test_leases_of_kernels_that_nobody_knows_are_given_back(docker: Context) -> None:
    with docker.database.session() as session:
        leases.acquire(session, kind="kernel", holder="gone", user="ada", gpus=1)
    duties.KernelDuty(docker, Engine()).tick()
    with docker.database.reading() as session:
        assert session.query(GpuLeaseRow).count() == 0


@pytest.mark.parametrize(
    ("how", "state", "reason"),
    [
        (
            {"cause": "memory", "exit_code": -9, "peak_memory_mb": 2048.0},
            "failed",
            (
                "The kernel's process used more than the 2048 MiB of size 'gpu' (peak 2048 MiB). "
                "The next size up is 'more'."
            ),
        ),
        ({"exit_code": -11}, "failed", "Its process ended with signal 11."),
        ({"exit_code": 0}, "ended", None),
        (
            {"cause": "engine", "exit_code": 143},
            "failed",
            "The container engine was shut down while it ran.",
        ),
        ({"cause": "stopped"}, "failed", "Perijove was shut down while it ran."),
    ],
)
def test_an_end_is_explained_and_the_gpu_waits_for_the_restart(
    docker: Context, how: dict[str, object], state: str, reason: str | None
) -> None:
    engine = Engine()
    duty = duties.KernelDuty(docker, engine)
    kernel, rival = add(docker), add(docker)
    duty.tick()
    with docker.database.session() as session:
        session.get_one(KernelRow, kernel).state = "running"
    engine.end(f"kernel-{kernel}-1", **how)
    duty.tick()
    found = row(docker, kernel)
    assert (found.state, found.reason, found.exit_code) == (state, reason, how.get("exit_code", 0))
    assert not found.stop_requested
    duty.tick()
    assert f"kernel-{rival}-1" not in engine.started
    with docker.database.session() as session:
        session.get_one(KernelRow, kernel).ended_at = utcnow() - duties.HOLD - timedelta(seconds=1)
    duty.tick()
    duty.tick()
    assert f"kernel-{rival}-1" in engine.started


def test_what_was_allowed_when_it_came_may_not_be_when_its_turn_comes(docker: Context) -> None:
    engine = Engine()
    lost_group = add(docker, size="risky")
    lost_image = add(docker, image="nosuch@1")
    duties.KernelDuty(docker, engine).tick()
    assert not engine.started
    assert "'risky' is not a size you may use." in (row(docker, lost_group).reason or "")
    assert row(docker, lost_image).state == "failed"


def test_an_engine_that_refuses_is_quoted_and_one_that_is_away_is_tried_again(
    docker: Context,
) -> None:
    engine = Engine(failure=LaunchError("the image sha256:cpu is not on this Docker engine"))
    duty = duties.KernelDuty(docker, engine)
    refused = add(docker)
    duty.tick()
    found = row(docker, refused)
    assert found.state == "failed"
    assert "is not on this Docker engine" in (found.reason or "")

    engine.failure = ConnectionError("no engine")
    patient = add(docker, size="small")
    duty.tick()
    duty.tick()
    assert row(docker, patient).state == "starting"
    assert row(docker, patient).reason == (
        "It could not be started yet and is tried again: no engine"
    )
    engine.failure = None
    duty.tick()
    assert f"kernel-{patient}-1" in engine.started


def test_a_start_that_was_cut_off_is_begun_again(docker: Context) -> None:
    engine = Engine()
    duty = duties.KernelDuty(docker, engine)
    kernel = add(docker, size="small")
    duty.tick()
    name = f"kernel-{kernel}-1"
    engine.statuses[name] = Status(name, Phase.gone, engine.statuses[name].labels)
    engine.started.clear()
    duty.tick()
    duty.tick()
    assert name in engine.started
    assert row(docker, kernel).state == KernelState.starting.value


def test_sizes_are_those_of_ones_groups(context: Context) -> None:
    context.settings.workspaces.sizes = {
        "a": SizeSettings(memory_mb=1024),
        "b": SizeSettings(memory_mb=2048, groups=["risk"]),
        "c": SizeSettings(memory_mb=4096),
        "d": SizeSettings(memory_mb=3000, gpus=1),
    }
    assert list(sizes.allowed(context.settings, ["research"])) == ["a", "c", "d"]
    assert sizes.next_up(context.settings, ["research"], "a") == "c"
    assert sizes.next_up(context.settings, ["risk"], "a") == "b"
    assert sizes.next_up(context.settings, [], "d") is None
    assert sizes.next_up(context.settings, [], "gone") is None

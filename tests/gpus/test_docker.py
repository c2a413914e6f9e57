"""What reaches the engine: device ids of the lease, and containers that the reconciler finds.

No GPU is needed: the engine takes a container that asks for devices, and refuses to start it
where there is no driver for them.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import APIError

from perijove_hub.context import Context
from perijove_hub.engine import Names, Sandbox
from perijove_hub.gpus import leases
from perijove_hub.paths import DataDir
from perijove_hub.settings import Settings
from perijove_hub.store.models import WorkspaceRow
from perijove_hub.usage import alive, things
from tests.docker.conftest import engine, image
from tests.gpus.conftest import install
from tests.jobs.conftest import a_topology

__all__ = ["engine", "image"]

pytestmark = pytest.mark.docker


@pytest.fixture
def client(engine: None) -> Iterator[docker.DockerClient]:
    client = docker.from_env()
    yield client
    client.close()


@contextlib.contextmanager
def container(
    client: docker.DockerClient, image: str, box: Sandbox, **more: Any
) -> Iterator[dict[str, Any]]:
    """Create a container, and remove exactly it."""
    created = client.api.create_container(
        image=image,
        name=f"perijove-test-gpus-{secrets.token_hex(4)}",
        command=["sleep", "600"],
        entrypoint=[],
        host_config=client.api.create_host_config(**box.host_config()),
        **more,
    )
    try:
        yield created
    finally:
        client.api.remove_container(created["Id"], force=True)


def test_the_engine_is_asked_for_exactly_the_leased_devices(
    context: Context, client: docker.DockerClient, image: str
) -> None:
    install(context.database, 3)
    with context.database.session() as session:
        leases.acquire(session, kind="workspace", holder="grace/", user="grace", gpus=1)
        leased = leases.acquire(session, kind="workspace", holder="ada/", user="ada", gpus=2)
    assert leased is not None
    box = Sandbox(network="none", memory_mb=64, gpus=leased)
    with container(client, image, box) as created:
        config = client.api.inspect_container(created["Id"])["HostConfig"]
        (request,) = config["DeviceRequests"]
        assert request["DeviceIDs"] == leased == ["GPU-0001", "GPU-0002"]
        assert request["Capabilities"] == [["gpu"]]
        # A count would hand out whichever devices the driver likes.
        assert request["Count"] == 0
        assert config["Privileged"] is False
        assert not config["Devices"]
        with pytest.raises(APIError, match=r"device driver|nvidia"):
            client.api.start(created["Id"])


def test_without_a_lease_no_device_is_asked_for(client: docker.DockerClient, image: str) -> None:
    with container(client, image, Sandbox(network="none", memory_mb=64)) as created:
        assert not client.api.inspect_container(created["Id"])["HostConfig"]["DeviceRequests"]


def test_running_containers_of_this_instance_are_found_by_what_they_are(
    tmp_path: Path, client: docker.DockerClient, image: str
) -> None:
    context = Context(Settings(), DataDir.open(tmp_path / "data"))
    object.__setattr__(topology := a_topology(), "spawner", "docker")
    topology.save(context.data.run / "topology.json")
    labels = Names.of(context.data.root).labels
    box = Sandbox(network="none", memory_mb=64)
    of_ada = {"perijove.kind": "w", "perijove.user": "ada", "perijove.server": "big"}
    of_run = {"perijove.kind": "t", "perijove.id": "run-0f-1"}
    with (
        container(client, image, box, labels={**labels, **of_ada}) as workspace,
        container(client, image, box, labels={**labels, **of_run}) as run,
        container(client, image, box, labels={**labels, **of_ada}),
        container(client, image, box, labels={"perijove": "another", **of_ada}) as foreign,
    ):
        for one in (workspace, run, foreign):
            client.api.start(one["Id"])
        seen = alive.look(context)
        assert seen.docker
        assert seen.servers is None, "no Hub answers here"
        assert seen.containers is not None
        assert {(one.kind, one.holder) for one in seen.containers} == {
            ("workspace", "ada/big"),
            ("run", "0f"),
        }
        assert workspace["Id"] in {one.id for one in seen.containers}
    assert alive.look(context).containers == []


def test_a_workspace_is_charged_by_its_container_also_one_from_the_pool(context: Context) -> None:
    now = datetime.fromisoformat("2026-11-21T00:00:00+00:00")
    pool = alive.Container("77", "perijove-pool-1", "pool", "", "", now)
    named = alive.Container("78", "perijove-w-eve", "workspace", "eve/", "eve", now)
    idle = alive.Container("79", "perijove-pool-2", "pool", "", "", now)
    with context.database.session() as session:
        choice = {"size": "medium", "runs": "cpu@1", "digest": "sha256:1"}
        session.add(WorkspaceRow(user="ada", container="77", started_at=now, choice=choice))
    seen = alive.Alive(docker=True, containers=[pool, named, idle])
    with context.database.reading() as session:
        found = things.workspaces(session, context.settings, seen)
        unknown = things.workspaces(
            session, context.settings, alive.Alive(docker=True, containers=None)
        )
    assert unknown is None
    assert found is not None
    assert {(one.object, one.size, one.digest) for one in found} == {
        ("ada/", "medium", "sha256:1"),
        ("eve/", "small", None),
    }


def test_an_engine_that_is_away_is_not_an_engine_without_containers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = Context(Settings(), DataDir.open(tmp_path / "data"))
    object.__setattr__(topology := a_topology(), "spawner", "docker")
    topology.save(context.data.run / "topology.json")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    assert alive.look(context).containers is None

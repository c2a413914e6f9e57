"""Shared folders and people of three groups; containers as the spawner makes them."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import httpx
import pytest

from perijove_hub import files
from perijove_hub.context import Context
from perijove_hub.engine import Names, Sandbox
from perijove_hub.engine.sandbox import HOME
from perijove_hub.paths import DataDir
from perijove_hub.settings import Settings, SharedFolderSettings
from perijove_hub.store.migrate import upgrade
from tests.docker.conftest import engine as engine
from tests.docker.conftest import image as image
from tests.fixtures.processes import answers, wait_until

SERVE = (
    "umask {umask}; exec jupyter server --ip=0.0.0.0 --port=8888 --no-browser "
    "--ServerApp.root_dir={home} --IdentityProvider.token=t --ServerApp.allow_remote_access=1"
)


@dataclass
class Containers:
    """Makes containers of people, as the spawner does, and removes them."""

    context: Context
    client: docker.DockerClient
    image: str
    network: str
    made: list[Any] = field(default_factory=list)

    def start(self, user: str, groups: Sequence[str], command: Sequence[str]) -> Any:
        """Start a container that sees what ``user`` in ``groups`` may see."""
        files.furnish(self.context, user, None)
        mounts = files.mounts(self.context, user=user, groups=groups)
        names = Names.of(self.context.data.root)
        sandbox = Sandbox(
            self.network,
            memory_mb=1024,
            mounts=mounts,
            groups=files.gids(self.context, groups=groups),
        )
        api = self.client.api
        made = api.create_container(
            self.image,
            list(command),
            name=names.container("w", user, secrets.token_hex(2)),
            entrypoint=[],
            user=sandbox.user,
            environment={"HOME": HOME},
            labels=names.labels,
            host_config=api.create_host_config(**sandbox.host_config()),
        )
        container = self.client.containers.get(made["Id"])
        self.made.append(container)
        container.start()
        return container

    def idle(self, user: str, groups: Sequence[str]) -> Any:
        """Start a container that does nothing, to run commands in."""
        return self.start(user, groups, ["sleep", "600"])

    @contextlib.contextmanager
    def server(self, user: str, groups: Sequence[str], *, umask: str) -> Iterator[httpx.Client]:
        """Start a Jupyter server and give a client of it."""
        command = SERVE.format(umask=umask, home=HOME)
        container = self.start(user, groups, ["sh", "-c", command])
        container.reload()
        address = container.attrs["NetworkSettings"]["Networks"][self.network]["IPAddress"]
        url = f"http://{address}:8888/"
        wait_until(lambda: answers(url + "api"), seconds=60, what=f"{user}'s server")
        headers = {"Authorization": "token t"}
        with httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=30) as client:
            yield client

    def remove(self) -> None:
        """Remove all of them."""
        for container in self.made:
            container.remove(force=True)


def run(container: Any, script: str, *, user: str = "") -> tuple[int, str]:
    """Run a shell script in a container; return its status and what it said."""
    done = container.exec_run(["sh", "-c", script], user=user)
    return done.exit_code, done.output.decode().strip()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    """A context with shared folders: research writes team, risk reads it, everyone reads data."""
    root = tmp_path_factory.mktemp("files")
    settings = Settings()
    settings.files.shared = {
        "team": SharedFolderSettings(
            place=str(root / "srv" / "team"), write=["research"], read=["risk"]
        ),
        "data": SharedFolderSettings(place=str(root / "srv" / "data"), read=["*"]),
        "secret": SharedFolderSettings(place=str(root / "srv" / "secret"), write=["board"]),
    }
    context = Context(settings, DataDir.open(root / "data"))
    upgrade(context.database)
    yield context
    context.database.close()


@pytest.fixture(scope="module")
def containers(shared: Context, image: str) -> Iterator[Containers]:
    """People's containers on a network of their own."""
    with contextlib.closing(docker.from_env()) as client:
        network = client.networks.create(f"perijove-test-{secrets.token_hex(4)}", driver="bridge")
        found = Containers(shared, client, image, network.name)
        try:
            yield found
        finally:
            found.remove()
            network.remove()


def volume_path(client: docker.DockerClient, name: str) -> Path:
    """Where the engine keeps a volume."""
    return Path(client.volumes.get(name).attrs["Mountpoint"])

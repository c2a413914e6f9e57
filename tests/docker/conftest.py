"""A Docker engine that answers, and the workspace's image on it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from perijove_hub.engine import Names, network
from tests.docker.index import Index
from tests.fixtures.processes import ROOT, wait_until
from tests.fixtures.product import Product

#: Layers are kept between runs; `rm -rf` this folder to start over.
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "perijove"


def answers(host: str | None) -> bool:
    """Tell whether an engine answers."""
    env = {**os.environ, **({"DOCKER_HOST": host} if host else {})}
    client = shutil.which("docker")
    return (
        bool(client)
        and not subprocess.run([client, "version"], env=env, capture_output=True).returncode
    )


@contextlib.contextmanager
def own_engine(dockerd: str) -> Iterator[str]:
    """Run an engine with its own data, socket and process; stop exactly it."""
    # Short, because the path of a socket has 108 characters at most.
    with tempfile.TemporaryDirectory(prefix="pj-", ignore_cleanup_errors=True) as folder:
        run = Path(folder)
        host = f"unix://{run}/docker.sock"
        log = run / "dockerd.log"
        command = [
            dockerd,
            f"--host={host}",
            f"--data-root={CACHE / 'docker'}",
            f"--exec-root={run / 'exec'}",
            f"--pidfile={run / 'dockerd.pid'}",
            "--bridge=none",
        ]
        with log.open("wb") as out:
            engine = subprocess.Popen(
                command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )
        try:
            wait_until(
                lambda: engine.poll() is not None or answers(host), seconds=60, what="dockerd"
            )
            assert engine.poll() is None, log.read_text()
            yield host
            with_host = {**os.environ, "DOCKER_HOST": host}
            subprocess.run(
                ["docker", "network", "rm", "perijove"], env=with_host, capture_output=True
            )
        finally:
            engine.terminate()
            engine.wait(60)
            # The engine leaves the mount of the host's own network behind.
            for left in (run / "exec" / "netns").glob("*"):
                subprocess.run(["umount", "--lazy", left], capture_output=True)


@pytest.fixture(scope="session")
def engine() -> Iterator[None]:
    """An engine that answers: the one there is, or one of our own."""
    if answers(None):
        yield
        return
    dockerd = shutil.which("dockerd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if dockerd is None or os.geteuid() != 0:
        why = "no Docker engine answers, and starting one takes dockerd and root"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    with own_engine(dockerd) as host, pytest.MonkeyPatch.context() as environment:
        environment.setenv("DOCKER_HOST", host)
        yield


@pytest.fixture(scope="session")
def image(engine: None) -> str:
    """The workspace's image, built from this checkout."""
    built = subprocess.run(
        [sys.executable, ROOT / "images" / "build", "cpu"], capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
    return "perijove/cpu:latest"


#: Small sizes, one that needs a GPU of which there is only a name, and one start at a time.
SETTINGS = """
[workspaces]
concurrent_starts = 1
[workspaces.sizes.small]
memory_mb = 1024
[workspaces.sizes.medium]
memory_mb = 2048
price = 0.5
description = "Most notebooks"
[workspaces.sizes.gpu]
memory_mb = 1024
gpus = 1
groups = ["risk"]
[gpus]
devices = ["GPU-0"]
"""


@dataclass(frozen=True)
class Indexes:
    """One package index as the product's workspaces reach it, and one as its builds do."""

    workspaces: Index
    builds: Index


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the product's data will be."""
    return tmp_path_factory.mktemp("docker")


@pytest.fixture(scope="session")
def indexes(image: str, folder: Path) -> Iterator[Indexes]:
    """Packages for the product, on the host's addresses in its two networks."""
    with contextlib.ExitStack() as stack:
        found = []
        for names in (Names.of(folder / "data"), Names.of(folder / "data" / "builds")):
            stack.callback(network.remove, names)
            found.append(stack.enter_context(Index.serving(network.ensure(names))))
        yield Indexes(*found)


@pytest.fixture(scope="session")
def product(folder: Path, indexes: Indexes) -> Iterator[Product]:
    """`perijove up --spawner docker` with ``SETTINGS``, for every test of workspaces."""
    config, pip_config = folder / "perijove.toml", folder / "pip.conf"
    builds = indexes.builds
    pip_config.write_text(f"[global]\nindex-url = {builds.url}\ntrusted-host = {builds.host}\n")
    allow = [f"{one.host}:{one.port}" for one in (indexes.workspaces, builds)]
    config.write_text(
        f"{SETTINGS}[network]\nallow = {allow}\n[images]\npip_config = '{pip_config}'\n"
    )
    with Product.running(folder, "--spawner", "docker", "--config", str(config)) as product:
        yield product

"""A remote kernel in a container whose engine goes away and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from perijove_hub.context import Context
from perijove_hub.engine import Names, firewall, network
from perijove_hub.engine.exceptions import EngineDown
from perijove_hub.engine.sandbox import UID
from perijove_hub.images.service import register_builtin
from perijove_hub.kernels.duty import KernelDuty
from perijove_hub.launch.docker import DockerLauncher
from tests.docker.test_spawner import Engine
from tests.fixtures.hub import Hub
from tests.kernels.conftest import SETTINGS, Manager, Platform, Someone, ada, execute
from tests.kernels.test_kernel import eventually, holders

__all__ = ["ada"]

pytestmark = [
    pytest.mark.docker,
    pytest.mark.timeout(300),
    # The Docker SDK leaves a socket unclosed when nobody listens where it connects to.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

#: What of the workspaces' image a kernel needs, and what it does without.
PARTS = ("bin", "home", "lib", "lib64", "opt/perijove/bin", "opt/perijove/lib")
PARTS += ("opt/perijove/pyvenv.cfg", "run", "tmp", "usr/bin", "usr/lib", "usr/lib64")
LEFT_OUT = ("babel", "cryptography", "databricks", "debugpy", "fontTools", "git-core", "jupyterlab")
LEFT_OUT += ("matplotlib", "mlflow", "notebook", "numpy*", "pandas", "pillow.libs", "pip", "PIL")
LEFT_OUT += ("pyarrow", "scipy*", "setuptools", "sklearn", "sqlalchemy", "labextension")


@pytest.fixture(scope="module", autouse=True)
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What the engine takes for NVIDIA's driver, on a machine without one."""
    folder = tmp_path_factory.mktemp("driver")
    hook = folder / "nvidia-container-runtime-hook"
    hook.write_text("#!/bin/sh\nexec cat >/dev/null\n")
    hook.chmod(0o755)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PATH", str(folder), prepend=os.pathsep)
        yield


@pytest.fixture(scope="module")
def mortal(image: str, driver: None) -> Iterator[Engine]:
    """An engine of our own, which may be killed."""
    dockerd = shutil.which("dockerd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    assert dockerd is not None
    with tempfile.TemporaryDirectory(prefix="pj-", ignore_cleanup_errors=True) as folder:
        engine = Engine(Path(folder), dockerd)
        engine.start("--live-restore")
        try:
            yield engine
        finally:
            engine.end()


@pytest.fixture(scope="module")
def kernel_image(image: str, mortal: Engine) -> str:
    """Python and ipykernel on the engine that is killed; returns the image's id."""
    names = [f"--exclude={name}" for name in LEFT_OUT]
    taking = ["docker", "run", "--rm", "--network=none", "--user=0", "--entrypoint=tar"]
    taking += [image, "--create", "--directory=/", *names, *PARTS]
    putting = ["docker", "import", "--change", "ENV PATH=/opt/perijove/bin:/usr/bin:/bin", "-"]
    with subprocess.Popen(taking, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as take:
        env = {**os.environ, "DOCKER_HOST": mortal.host}
        put = subprocess.run(
            putting, env=env, stdin=take.stdout, capture_output=True, text=True, check=True
        )
    assert take.returncode == 0
    return put.stdout.strip()


class Contained(Platform):
    """A control plane whose kernels are containers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        host = network.ensure(Names.of(self.root))
        topology = replace(self.context.topology, host=host, spawner="docker")
        topology.save(self.context.data.run / "topology.json")
        self.context = Context.open(self.root, self.config)
        os.chown(self.context.data.homes / "ada", UID, UID)

    def start_worker(self) -> None:
        """Do the kernels' duty, and bear what the real worker bears."""

        def repeat() -> None:
            with contextlib.closing(DockerLauncher(self.context)) as launcher:
                duty = KernelDuty(self.context, launcher)
                while not self._stop.wait(0.2):
                    with contextlib.suppress(EngineDown):
                        duty.tick()

        self._working.append(threading.Thread(target=repeat, daemon=True))
        self._working[-1].start()

    def close(self) -> None:
        """End what runs and take the network away."""
        self.stop_worker()
        launcher = DockerLauncher(self.context)
        for status in launcher.list():
            launcher._discard(launcher._container(status.name))
        launcher.close()
        super().close()
        names = Names.of(self.root)
        assert network.remove(names)
        firewall.lift(names)


@pytest.fixture(scope="module")
def platform(
    hub: Hub, mortal: Engine, kernel_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("restart")
    config = folder / "perijove.toml"
    config.write_text(SETTINGS)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DOCKER_HOST", mortal.host)
        found = Contained(folder / "data", hub, config)
        try:
            with found.context.database.session() as session:
                register_builtin(
                    session, "cpu", digest=kernel_image, description="", interfaces=["lab"]
                )
            found.start_api()
            found.start_worker()
            yield found
        finally:
            found.close()
            # The sockets that the SDK left, while the warning of them is expected.
            gc.collect()


async def test_a_kernel_outlives_its_engine_with_live_restore_and_else_is_replaced_and_explained(
    platform: Platform, ada: Someone, mortal: Engine
) -> None:
    manager = Manager("gpu")
    await manager.start_kernel()
    client = manager.client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=60)
        device = "import os; print(os.environ['NVIDIA_VISIBLE_DEVICES'])"
        assert await execute(client, device) == "GPU-0\n"
        await execute(client, "x = 41")
        kernel = ada.only()

        mortal.kill()
        # Its engine is away, and it works all the same.
        assert await execute(client, "print(x + 1)") == "42\n"
        assert await manager.is_alive()
        mortal.start("--live-restore")
        assert await execute(client, "print(x + 2)") == "43\n"
        await asyncio.sleep(2)
        assert (ada.only()["state"], ada.only()["attempt"]) == ("running", 1)
        assert holders(platform) == [kernel["id"]]

        mortal.kill()
        mortal.start()
        rival = ada.queue("gpu")
        await eventually(lambda: ada.kernel(kernel["id"])["state"] == "failed")
        assert not await manager.is_alive()
        # As the restarter does.
        await manager.restart_kernel(now=True)
        await client.wait_for_ready(timeout=60)
        said = await execute(client, "print('x' in globals())")
        assert "The kernel was restarted." in said
        assert "container engine was shut down" in said
        assert "False\n" in said
        assert await execute(client, device) == "GPU-0\n"
        # Its GPU has waited for it, and nobody else has it.
        assert holders(platform) == [kernel["id"]]
        assert ada.kernel(rival)["state"] == "queued"
        ada.stop(rival)
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)
    await eventually(lambda: not holders(platform))
    with contextlib.closing(DockerLauncher(platform.context)) as launcher:
        await eventually(lambda: not launcher.list())

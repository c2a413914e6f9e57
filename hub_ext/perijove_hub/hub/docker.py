"""Workspaces in Docker: DockerSpawner, with the limits it leaves out."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from pathlib import Path
from typing import Any

import docker
from docker.errors import DockerException, ImageNotFound, NotFound
from dockerspawner import DockerSpawner
from tornado.web import HTTPError
from traitlets import Bool, Unicode, default

from perijove_hub.context import Context, Topology
from perijove_hub.hub.spawner import home_of, tutorial_path
from perijove_hub.up.exceptions import StartError

#: The bridge that workspaces share; they reach the host and the world through it, but not
#: each other.
NETWORK = "perijove"
#: The image's user, and the owner of homes when the Hub runs as root.
IMAGE_UID = 1000
HOME = "/home/perijove"
IMAGE = "perijove/cpu:latest"
#: Processes and threads of one workspace.
PIDS = 2048


def bridge_address(image: str | None = None) -> str:
    """Make sure of engine, network and ``image``; return the host's address on the network.

    Raises ``StartError``.
    """
    try:
        client = docker.from_env()
        try:
            network = _network(client)
            if image is not None:
                client.images.get(image)
        finally:
            client.close()
    except ImageNotFound:
        raise StartError(
            f"the image {image} is not on this Docker engine. Build it with images/build from "
            "a checkout."
        ) from None
    except DockerException as error:
        raise StartError(
            f"no Docker engine can be used ({error}). Start it, point DOCKER_HOST at it, or "
            "use --spawner local."
        ) from None
    return str(network.attrs["IPAM"]["Config"][0]["Gateway"])


def _network(client: docker.DockerClient) -> Any:
    try:
        return client.networks.get(NETWORK)
    except NotFound:
        client.networks.create(
            NETWORK,
            driver="bridge",
            options={"com.docker.network.bridge.enable_icc": "false"},
            check_duplicate=True,
        )
        # What create returns lacks the addresses.
        return client.networks.get(NETWORK)


def embed(c: Any, context: Context, topology: Topology) -> None:
    """Spawn workspaces as containers."""
    c.JupyterHub.spawner_class = PerijoveDockerSpawner
    c.JupyterHub.hub_connect_ip = topology.host
    c.PerijoveDockerSpawner.image = IMAGE
    c.PerijoveDockerSpawner.mem_limit = "4096M"
    c.PerijoveDockerSpawner.homes = str(context.data.homes)
    c.PerijoveDockerSpawner.prefix = container_prefix(context.data.root)
    c.Spawner.default_url = "/lab"
    c.Spawner.start_timeout = 120
    c.Spawner.http_timeout = 60
    if "demo" in context.settings.catalog.sources:
        c.PerijoveDockerSpawner.tutorial = tutorial_path()


def container_prefix(data: Path) -> str:
    """Name the containers of one data directory apart from others' on the same engine."""
    return f"perijove-{hashlib.sha256(str(data).encode()).hexdigest()[:8]}"


class PerijoveDockerSpawner(DockerSpawner):  # type: ignore[misc]
    """One container per workspace: no root, no capabilities, nothing writable but the home.

    The image is the administrator's choice: a user who names another is refused.
    """

    homes = Unicode(help="Folder of the users' home folders, on the engine's host").tag(config=True)
    tutorial = Unicode(help="A notebook put in every new home").tag(config=True)

    network_name = Unicode(NETWORK, help="Docker network of the workspaces").tag(config=True)
    remove = Bool(True, help="Remove the container when it stops").tag(config=True)
    notebook_dir = Unicode(HOME, help="Where JupyterLab opens").tag(config=True)

    @default("pull_policy")  # type: ignore[untyped-decorator]
    def _never_pull(self) -> str:
        # Whoever owns our image's name in some registry must not get to run it here.
        return "never"

    @default("format_volume_name")  # type: ignore[untyped-decorator]
    def _name_as_is(self) -> Any:
        # Paths are not templates: one with braces in it is still that path.
        return lambda template, spawner: template

    @property
    def home(self) -> Path:
        """This user's home on the host."""
        return home_of(Path(self.homes), self.user.name)

    async def start(self) -> tuple[str, int]:
        """Make the home on first use, and start the container with it."""
        self._furnish()
        address: tuple[str, int] = await super().start()
        return address

    async def check_allowed(self, image: str) -> str:
        """Return the image an allowed choice stands for; refuse any other with 400."""
        try:
            allowed: str = await super().check_allowed(image)
        except HTTPError:
            # The Hub has stored the choice for the next start, which would fail again.
            self.orm_spawner.user_options = {}
            raise
        return allowed

    def _furnish(self) -> None:
        make_home(self.home, Path(self.tutorial) if self.tutorial else None)
        owner = self.home.lstat()
        uid = IMAGE_UID if os.geteuid() == 0 else os.geteuid()
        if owner.st_uid != uid:
            raise PermissionError(
                f"{self.home} belongs to user {owner.st_uid} and a container's user is {uid}. It "
                f"was made by --spawner local: give it over with chown -R {uid}:{uid}."
            )
        if self.tutorial and os.path.lexists(self.home / Path(self.tutorial).name):
            self.default_url = f"/lab/tree/{Path(self.tutorial).name}"
        self.volumes = {str(self.home): HOME}
        self.extra_create_kwargs = {
            "user": f"{owner.st_uid}:{owner.st_gid}",
            "labels": {"perijove.user": self.user.name},
        }
        self.extra_host_config = {
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
            "pids_limit": PIDS,
            "read_only": True,
            "tmpfs": {"/tmp": "rw,nosuid,nodev,exec,mode=1777,size=1g"},  # noqa: S108
        }

    def get_env(self) -> dict[str, str]:
        """Say who is at home where, whichever number the container's user has."""
        env: dict[str, str] = super().get_env()
        env.update(HOME=HOME, USER=self.user.name, LOGNAME=self.user.name)
        return env


def make_home(home: Path, tutorial: Path | None) -> None:
    """Make a new home in one step, with a copy of ``tutorial``; leave an existing one alone.

    Once a user has been in a home nothing here writes into it: what looks like a file there
    may be their link to a file of the Hub's.
    """
    if os.path.lexists(home):
        return
    partial = home.with_name(f".new-{secrets.token_hex(8)}")
    partial.mkdir(mode=0o700)
    made = [partial]
    if tutorial is not None:
        shutil.copyfile(tutorial, partial / tutorial.name)
        made.append(partial / tutorial.name)
    if os.geteuid() == 0:
        for path in made:
            os.chown(path, IMAGE_UID, IMAGE_UID)
    partial.rename(home)

"""The embedded spawner: local processes with a home folder each, and no isolation."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jupyterhub.spawner import LocalProcessSpawner
from traitlets import Integer, Unicode

from perijove_hub.context import Context
from perijove_hub.files.homes import folder_name, local_homes
from perijove_hub.hub.starting import Starting
from perijove_hub.workspaces import ledger
from perijove_hub.workspaces.choice import Choice
from perijove_hub.workspaces.queue import Line

WARNING = (
    "Workspaces run as processes of one operating-system user: users are NOT isolated from "
    "each other. Use --spawner docker for anything but trying Perijove out."
)
#: What opens, by interface.
PATHS = {"lab": "/lab", "notebook": "/tree", "terminal": "/terminals/1"}


def embed(c: Any, context: Context) -> None:
    """Spawn workspaces as processes."""
    LocalSpawner.context = context
    LocalSpawner.line = Line(context.settings.workspaces.concurrent_starts)
    c.JupyterHub.spawner_class = LocalSpawner
    c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.singleuser"]
    if os.geteuid() == 0:
        # JupyterLab refuses to run as root unless told to, after the Hub has waited for it.
        c.Spawner.args = ["--allow-root"]
    c.LocalSpawner.homes = str(local_homes(context))
    if "demo" in context.settings.catalog.sources:
        c.LocalSpawner.tutorial = tutorial_path()
    with context.database.session() as session:
        ledger.mend(session)


def home_of(homes: Path, name: str) -> Path:
    """Return the home of user ``name``: one folder each, whatever characters a name has."""
    return homes / folder_name(name)


class LocalSpawner(Starting, LocalProcessSpawner):  # type: ignore[misc]
    """Runs ``jupyterhub-singleuser`` beside the Hub; outlives a Hub restart.

    Image and size are recorded and charged, and limit nothing.
    """

    local = True

    homes = Unicode(help="Folder of the users' home folders").tag(config=True)
    tutorial = Unicode(help="A notebook put in every new home and opened first").tag(config=True)
    # Together less than a stop may take: what is not dead by then would be left behind.
    interrupt_timeout = Integer(10, help="Seconds from SIGINT to SIGTERM").tag(config=True)
    term_timeout = Integer(5, help="Seconds from SIGTERM to SIGKILL").tag(config=True)

    @property
    def home(self) -> Path:
        """This user's home."""
        return home_of(Path(self.homes), self.user.name)

    def make_preexec_fn(self, name: str) -> Any:
        """Enter the home; the process keeps the Hub's operating-system user."""
        home = str(self.home)
        return lambda: os.chdir(home)

    def user_env(self, env: dict[str, str]) -> dict[str, str]:
        """Make the process believe it is the user at home."""
        env.update(
            USER=self.user.name,
            LOGNAME=self.user.name,
            HOME=str(self.home),
            SHELL="/bin/bash",
            PATH=f"{Path(sys.executable).parent}:{env.get('PATH', os.defpath)}",
        )
        return env

    def move_certs(self, paths: dict[str, str]) -> dict[str, str]:
        """Leave certificates where they are: there is no other user to own them."""
        return paths

    async def launch(self, choice: Choice, gpus: Sequence[str]) -> tuple[str, int]:
        """Make the home, with the tutorial on first use, and start the process."""
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.default_url = PATHS[choice.interface.value]
        if self.tutorial:
            self._seed_tutorial(choice)
        self.news.say("home", "Your home is ready")
        address: tuple[str, int] = await LocalProcessSpawner.start(self)
        return address

    async def died(self) -> str | None:
        """Return its exit status when it has ended."""
        status = await LocalProcessSpawner.poll(self)
        return None if status is None else f"Its exit status was {status}."

    async def discard(self, *, grace: float) -> None:
        """End the process."""
        await LocalProcessSpawner.stop(self, now=not grace)

    async def poll(self) -> int | None:
        """Return ``None`` while it runs; what has ended gives back what it held."""
        ran = bool(self.pid)
        status: int | None = await LocalProcessSpawner.poll(self)
        if status is not None and ran:
            await self.over(None if status in (0, -15) else _ended(status))
        return status

    def _seed_tutorial(self, choice: Choice) -> None:
        target = self.home / Path(self.tutorial).name
        marker = self.home / ".perijove-tutorial"
        if not marker.exists():
            # A user who deleted the tutorial does not want it back.
            shutil.copyfile(self.tutorial, target)
            marker.touch()
        if target.exists() and choice.interface.value == "lab":
            self.default_url = f"/lab/tree/{target.name}"


def _ended(status: int) -> str:
    how = f"by signal {-status}" if status < 0 else f"with status {status}"
    return f"Your workspace ended {how}. Files in your home are safe; press Start again."


def tutorial_path() -> str:
    """Return the shipped tutorial's path."""
    return str(resources.files("perijove_hub.demo") / "tutorial.ipynb")

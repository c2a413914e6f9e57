"""The embedded spawner: local processes with a home folder each, and no isolation."""

from __future__ import annotations

import os
import shutil
import sys
from importlib import resources
from pathlib import Path
from typing import Any

from jupyterhub.spawner import LocalProcessSpawner
from traitlets import Unicode

from perijove_hub.files.homes import folder_name

WARNING = (
    "Workspaces run as processes of one operating-system user: users are NOT isolated from "
    "each other. Use --spawner docker for anything but trying Perijove out."
)


def home_of(homes: Path, name: str) -> Path:
    """Return the home of user ``name``: one folder each, whatever characters a name has."""
    return homes / folder_name(name)


class LocalSpawner(LocalProcessSpawner):  # type: ignore[misc]
    """Runs ``jupyterhub-singleuser`` beside the Hub; outlives a Hub restart."""

    homes = Unicode(help="Folder of the users' home folders").tag(config=True)
    tutorial = Unicode(help="A notebook put in every new home and opened first").tag(config=True)

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

    async def start(self) -> tuple[str, int]:
        """Make the home, with the tutorial on first use, and start."""
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.tutorial:
            self._seed_tutorial()
        address: tuple[str, int] = await super().start()
        return address

    def _seed_tutorial(self) -> None:
        target = self.home / Path(self.tutorial).name
        marker = self.home / ".perijove-tutorial"
        if not marker.exists():
            # A user who deleted the tutorial does not want it back.
            shutil.copyfile(self.tutorial, target)
            marker.touch()
        if target.exists():
            self.default_url = f"/lab/tree/{target.name}"


def tutorial_path() -> str:
    """Return the shipped tutorial's path."""
    return str(resources.files("perijove_hub.demo") / "tutorial.ipynb")

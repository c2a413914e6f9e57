"""What a waiting container is made of: an image, a size, and nothing of any user."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from perijove.types.images import ImageState
from perijove_hub import files
from perijove_hub.context import Context
from perijove_hub.engine import Mount, Names, Sandbox, network
from perijove_hub.engine.sandbox import GID, HOME, UID
from perijove_hub.settings import SizeSettings
from perijove_hub.store.models import ImageRow, ImageVersionRow

#: The process inside: imports everything, and waits to be told whose it is.
COMMAND = ("python", "-m", "perijove.warm")
#: Share of a contended processor until it is claimed, and from then on (the engine's default).
WAITING_SHARES, CLAIMED_SHARES = 64, 1024
#: Counts changes of how such a container is made and spoken to.
_FORMAT = 1


@dataclass(frozen=True)
class Recipe:
    """All that a start has to agree with to claim a container."""

    digest: str
    size: str
    cpu: float
    memory_mb: int
    groups: tuple[int, ...]
    """Numbers of the groups of every shared folder: a process cannot join them later. Without a
    folder mounted they open nothing, and only a user's own folders are mounted."""
    network: str

    @property
    def key(self) -> str:
        """The same for equal recipes."""
        parts = [_FORMAT, self.digest, self.size, self.cpu, self.memory_mb, self.groups]
        text = json.dumps([*parts, self.network, UID, GID])
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def create(self, api: Any, names: Names, *, slot: str, mounts: list[Mount]) -> str:
        """Create the container for a slot, unstarted; return its id.

        ``api`` is docker-py's ``APIClient``. There is nothing secret in it to inspect.
        """
        box = Sandbox(
            network=self.network,
            memory_mb=self.memory_mb,
            cpu=self.cpu,
            groups=self.groups,
            mounts=mounts,
        )
        config = {**box.host_config(), "cpu_shares": WAITING_SHARES}
        created = api.create_container(
            image=self.digest,
            name=names.container("pool", slot),
            entrypoint=list(COMMAND),
            environment={"HOME": HOME},
            # Not the home: who is in it would stay below what is mounted there later.
            working_dir="/",
            user=box.user,
            labels={**names.labels, "perijove.kind": "pool", "perijove.slot": slot},
            host_config=api.create_host_config(**config),
            networking_config=network.place(api, self.network),
        )
        return str(created["Id"])


def recipe(context: Context, *, digest: str, size: str) -> Recipe:
    """Return what a container of ``digest`` and ``size`` is made of today."""
    limits: SizeSettings = context.settings.workspaces.sizes[size]
    return Recipe(
        digest=digest,
        size=size,
        cpu=limits.cpu,
        memory_mb=limits.memory_mb,
        groups=tuple(files.gids(context, groups=files.everyone(context))),
        network=Names.of(context.data.root).network,
    )


def wanted(context: Context) -> Recipe | None:
    """Return the recipe that the settings ask for; ``None`` when none can be kept.

    Sizes with a GPU have no pool: a lease would hold the device for nobody.
    """
    workspaces = context.settings.workspaces
    warm = workspaces.warm
    size = warm.size or workspaces.default_size
    if warm.count == 0 or workspaces.sizes[size].gpus:
        return None
    with context.database.reading() as session:
        digest = _current(session, warm.image or workspaces.default_image)
    return recipe(context, digest=digest, size=size) if digest else None


def _current(session: Session, image: str) -> str | None:
    """Return the digest that ``image`` starts from by default, if that is approved."""
    return session.scalar(
        select(ImageVersionRow.digest)
        .join(ImageRow, ImageRow.id == ImageVersionRow.image_id)
        .where(
            ImageRow.name == image,
            ImageVersionRow.version == ImageRow.current,
            ImageVersionRow.state == ImageState.approved.value,
        )
    )

"""Give a waiting container to a user: once, to one user, and never back."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from docker.errors import APIError, DockerException, NotFound
from requests import RequestException
from sqlalchemy import select, update

from perijove_hub.context import Context
from perijove_hub.engine import Names
from perijove_hub.engine.client import EngineDown, connect
from perijove_hub.engine.sandbox import HOME, Mount
from perijove_hub.pool.recipe import CLAIMED_SHARES, Recipe, recipe
from perijove_hub.pool.slots import Slots, fits
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import WarmRow

log = logging.getLogger(__name__)

#: Commands that the process in a waiting container can stand for, whatever follows them.
SERVERS = (
    ("python", "-m", "perijove.singleuser"),
    ("python", "-m", "jupyterhub.singleuser"),
    ("jupyterhub-singleuser",),
)
#: Variables that Python and JupyterHub read before a claim can set them.
EARLY = ("PYTHON", "LD_", "JUPYTERHUB_SINGLEUSER_")


@dataclass(frozen=True)
class Claimed:
    """A container that now is a user's."""

    container: str
    """Its id."""
    address: str
    """On the network of the containers."""


def slots_of(context: Context) -> Slots:
    """Return the slots of a data directory."""
    return Slots(context.data.root / "slots")


def claim(
    context: Context,
    *,
    digest: str,
    size: str,
    user: str,
    server: str,
    environment: dict[str, str],
    command: Sequence[str],
    mounts: Sequence[Mount],
    name: str,
    groups: Sequence[int] = (),
) -> Claimed | None:
    """Return a container that is becoming ``user``'s server, or ``None`` for a cold start.

    It has been renamed to ``name``, has ``mounts``, and got ``environment`` and the arguments
    in ``command`` by its pipe; its server answers soon after. ``groups`` are the numbers of
    ``files.gids``. Call it in a thread: it talks to database and engine, for tens of
    milliseconds; where there is no pool it only looks at the settings.

    A container in which anything goes wrong is removed, never offered again.
    """
    arguments = _arguments(command)
    if context.settings.workspaces.warm.count == 0 or arguments is None or not fits(mounts):
        return None
    if any(variable.startswith(EARLY) for variable in environment):
        return None
    row = _take(context, digest=digest, size=size, groups=groups, holder=f"{user}/{server}")
    if row is None:
        return None
    message = {
        "environment": environment,
        "arguments": arguments,
        # The home first, as perijove.warm wants it.
        "folders": sorted((mount.target for mount in mounts), key=lambda path: path != HOME),
    }
    try:
        client = connect()
    except EngineDown as error:
        log.warning("a waiting container cannot be claimed: %s", error)
        return None
    try:
        return _hand_over(context, client.api, row, mounts=mounts, name=name, message=message)
    except (OSError, DockerException, RequestException) as error:
        log.warning("a waiting container could not become %s/%s: %s", user, server, error)
        _discard(client.api, row.container)
        return None
    finally:
        client.close()


def _arguments(command: Sequence[str]) -> list[str] | None:
    for known in SERVERS:
        if tuple(command[: len(known)]) == known:
            return list(command[len(known) :])
    return None


def _take(
    context: Context, *, digest: str, size: str, groups: Sequence[int], holder: str
) -> WarmRow | None:
    """Take one that is ready out of the pool; of two who want it, one gets it."""
    found = select(WarmRow.container).where(
        WarmRow.state == "ready", WarmRow.digest == digest, WarmRow.size == size
    )
    with context.database.reading() as session:
        if session.scalar(found.limit(1)) is None:
            return None
    made: Recipe = recipe(context, digest=digest, size=size)
    if not set(groups) <= set(made.groups):
        return None
    while True:
        with context.database.session() as session:
            oldest = session.scalar(
                found.where(WarmRow.recipe == made.key).order_by(WarmRow.created_at).limit(1)
            )
            if oldest is None:
                return None
            taken = session.execute(
                update(WarmRow)
                .where(WarmRow.container == oldest, WarmRow.state == "ready")
                .values(state="claimed", claimed_by=holder, claimed_at=database_now(session))
            )
            # Somebody else was faster: look for the next one.
            if taken.rowcount == 1:  # type: ignore[attr-defined]
                return session.get_one(WarmRow, oldest)


def _hand_over(
    context: Context,
    api: Any,
    row: WarmRow,
    *,
    mounts: Sequence[Mount],
    name: str,
    message: dict[str, Any],
) -> Claimed:
    slots = slots_of(context)
    slots.fill(row.slot, mounts)
    # Before it is told anything, so that a name that is taken ends it while it knows nothing.
    api.rename(row.container, name)
    api.update_container(row.container, cpu_shares=CLAIMED_SHARES)
    found = api.inspect_container(row.container)
    address = found["NetworkSettings"]["Networks"][Names.of(context.data.root).network]["IPAddress"]
    if not found["State"]["Running"] or not address:
        raise OSError("it has ended")
    slots.send(row.slot, json.dumps(message).encode())
    return Claimed(row.container, address)


def _discard(api: Any, container: str) -> None:
    """Remove it; what it had mounted is unmounted by the worker, once it is gone."""
    try:
        api.remove_container(container, force=True, v=True)
    except NotFound:
        pass
    except (APIError, RequestException) as error:
        log.warning("container %s could not be removed yet: %s", container[:12], error)

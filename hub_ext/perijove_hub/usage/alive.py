"""What really runs now: asked of the engine and of the Hub, not of our own tables."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime

from perijove_hub.context import Context
from perijove_hub.engine import Names
from perijove_hub.engine.exceptions import EngineDown
from perijove_hub.exceptions import Unavailable
from perijove_hub.workspaces import servers
from perijove_hub.workspaces.servers import Server

log = logging.getLogger(__name__)

#: What the label ``perijove.kind`` of a workspace is, as a word or as the letter in its name.
WORKSPACE = ("workspace", "w")
#: The same for what a launcher starts.
TASK = "t"


@dataclass(frozen=True)
class Container:
    """A container of ours that runs."""

    id: str
    name: str
    kind: str
    """``workspace``, ``kernel``, ``run``, ``replica``, or another that nothing is charged for."""
    holder: str
    """``USER/SERVER`` of a workspace, the workload of a replica, else an id."""
    user: str
    created_at: datetime


@dataclass(frozen=True)
class Alive:
    """One look around; ``None`` is what could not be seen, which is not the same as empty."""

    docker: bool
    """Whether workspaces are containers."""
    containers: list[Container] | None = field(default_factory=list)
    servers: list[Server] | None = None


def look(context: Context) -> Alive:
    """Ask engine and Hub; neither's absence raises."""
    docker = context.topology.spawner == "docker"
    try:
        found: list[Server] | None = servers.running(context)
    except Unavailable as error:
        log.warning("workspaces cannot be counted now: %s", error)
        found = None
    return Alive(docker, _containers(context) if docker else [], found)


def _containers(context: Context) -> list[Container] | None:
    # Not everybody who runs Perijove has the Docker SDK.
    from perijove_hub.engine.client import connect, reaching

    label = f"perijove={Names.of(context.data.root).key}"
    try:
        client = connect()
        try:
            with reaching():
                found = client.api.containers(filters={"label": [label], "status": ["running"]})
        finally:
            client.close()
    except EngineDown as error:
        log.warning("containers cannot be counted now: %s", error)
        return None
    return [
        _container(one["Id"], one["Names"], one["Labels"] or {}, one["Created"]) for one in found
    ]


def _container(number: str, names: list[str], labels: dict[str, str], created: int) -> Container:
    kind = labels.get("perijove.kind", "")
    holder, user = labels.get("perijove.id", ""), labels.get("perijove.user", "")
    if kind == TASK:
        kind, holder = _task(holder)
    elif kind in WORKSPACE:
        kind, holder = "workspace", f"{user}/{labels.get('perijove.server', '')}"
    name = names[0].lstrip("/") if names else ""
    return Container(number, name, kind, holder, user, datetime.fromtimestamp(created, UTC))


def _task(workload: str) -> tuple[str, str]:
    """Return what a launcher's name for a workload stands for: ``run-ID-1`` is the run ID."""
    kind, _, rest = workload.partition("-")
    # A replica's record is named as its workload is.
    return kind, workload if kind == "replica" else rest.rpartition("-")[0]

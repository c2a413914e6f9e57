"""Containers of workspaces whose start the Hub did not live to finish, and taking them away."""

from __future__ import annotations

from typing import Any

from docker.errors import APIError, NotFound
from sqlalchemy import select

from perijove_hub.context import Context
from perijove_hub.engine import Names
from perijove_hub.engine.client import EngineDown, connect, reaching
from perijove_hub.store.models import WorkspaceRow
from perijove_hub.workspaces import ledger


def clear(context: Context) -> None:
    """Remove workspaces that no start has completed: the Hub was killed in the middle.

    Called before the Hub serves anybody, so nothing is being started. Without an engine the
    record alone is mended, and the next start removes what is in its way.
    """
    names = Names.of(context.data.root)
    with context.database.reading() as session:
        recorded = set(session.scalars(select(WorkspaceRow.container)))
    try:
        client = connect(timeout=10)
        try:
            with reaching():
                label = [f"perijove={names.key}", "perijove.kind=w"]
                for one in client.api.containers(all=True, filters={"label": label}):
                    if one["Id"] not in recorded:
                        remove(client.api, one["Id"])
        finally:
            client.close()
    except EngineDown:
        pass
    with context.database.session() as session:
        ledger.mend(session)


def remove(api: Any, container: str, *, grace: float = 0) -> None:
    """Stop a container and remove it with what it alone has; one that is gone is fine."""
    try:
        if grace:
            api.stop(container, timeout=int(grace))
        api.remove_container(container, v=True, force=True)
    except NotFound:
        return
    except APIError as error:
        # Somebody else is removing it.
        if error.status_code != 409:
            raise

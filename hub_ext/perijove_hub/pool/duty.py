"""The worker's part: keep as many containers waiting as the settings say, and no others.

What is found decides, not what is remembered: rows without a container, containers without a
row and slots without either are cleared away, so that this may be killed at any point, and the
engine with it. A slot goes when its container is gone, and is unmounted first; the folders that
were mounted stay as they are.
"""

from __future__ import annotations

import logging
import os
from datetime import timedelta
from typing import Any

from docker.errors import APIError, ImageNotFound, NotFound
from sqlalchemy import delete, select, update

from perijove_hub import files
from perijove_hub.context import Context
from perijove_hub.engine import Names, firewall
from perijove_hub.engine.client import EngineDown, connect, reaching
from perijove_hub.pool.claiming import slots_of
from perijove_hub.pool.recipe import Recipe, wanted
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import WarmRow, WorkspaceRow

log = logging.getLogger(__name__)

#: How long a container may take until it waits, and a claim until it has gone in.
PATIENCE = timedelta(seconds=90)
#: How long until a workspace that was started is on record.
LONGEST_START = timedelta(minutes=5)
#: How long after a claim none is made: whoever starts now needs the processor.
CALM = timedelta(seconds=5)


class PoolDuty:
    """Makes, replaces and clears up waiting containers, one new one at a time."""

    name = "pool"
    period = 1.0

    def __init__(self, context: Context) -> None:
        self._context = context
        self._names = Names.of(context.data.root)
        self._slots = slots_of(context)
        self._prepared = False
        self._said: str | None = None

    def tick(self) -> None:
        """Do one step."""
        if self._idle():
            return
        try:
            client = connect()
        except EngineDown as error:
            self._say(str(error))
            return
        try:
            with reaching():
                self._step(client.api, self._recipe())
        except EngineDown as error:
            self._say(str(error))
        finally:
            client.close()

    def drain(self) -> None:
        """Remove what waits, and what is left of workspaces that have ended.

        Raises ``EngineDown``.
        """
        if self._idle():
            return
        client = connect()
        try:
            with reaching():
                self._step(client.api, None)
        finally:
            client.close()
        self._slots.close()

    def abandon(self) -> None:
        """Remove what waits here when another worker leads, which forgets its rows.

        Raises ``EngineDown``.
        """
        if not self._slots.names():
            return
        client = connect()
        try:
            with reaching():
                self._clear(client.api, self._containers(client.api), set())
                used = {
                    found["Labels"]["perijove.slot"]
                    for found in self._containers(client.api).values()
                }
        finally:
            client.close()
        for slot in self._slots.names() - used:
            self._remove_slot(slot)

    def _containers(self, api: Any) -> dict[str, Any]:
        found = api.containers(
            all=True, filters={"label": [f"perijove={self._names.key}", "perijove.slot"]}
        )
        return {one["Id"]: one for one in found}

    def _idle(self) -> bool:
        if self._context.settings.workspaces.warm.count or self._slots.names():
            return False
        with self._context.database.reading() as session:
            return session.scalar(select(WarmRow.container).limit(1)) is None

    def _step(self, api: Any, recipe: Recipe | None) -> None:
        # In this order: a row is written after its container and its slot are there.
        with self._context.database.reading() as session:
            rows = list(session.scalars(select(WarmRow)))
            recorded = set(session.scalars(select(WorkspaceRow.container)))
            now = database_now(session)
        slots = self._slots.names()
        containers = self._containers(api)
        for row in rows:
            found = containers.get(row.container)
            if found is None:
                self._forget(row)
            elif row.state == "claimed":
                age = now - _claimed(row)
                # Whoever claimed it was killed: on the way in, or before its start was recorded.
                if (age > PATIENCE and not self._slots.was_sent(row.slot)) or (
                    age > LONGEST_START and row.container not in recorded
                ):
                    self._remove(api, row.container)
            elif found["State"] != "running" or (
                row.state == "starting" and now - row.created_at > PATIENCE
            ):
                self._complain(api, row)
                self._retire(api, row)
            elif recipe is None or row.recipe != recipe.key:
                self._retire(api, row)
            elif row.state == "starting" and self._slots.listens(row.slot):
                self._mark_ready(row)
        known = {row.container for row in rows}
        self._clear(api, containers, known)
        used = {row.slot for row in rows}
        used |= {found["Labels"]["perijove.slot"] for found in containers.values()}
        for slot in slots - used:
            self._remove_slot(slot)
        if recipe is not None:
            self._keep(api, recipe, rows, recent=now - CALM)

    def _recipe(self) -> Recipe | None:
        if self._context.settings.workspaces.warm.count == 0:
            return None
        why, recipe = None, None
        if os.geteuid() != 0:
            why = "only root may mount homes into them"
        elif (why := self._prepare()) is None:
            recipe = wanted(self._context)
            why = None if recipe else "their image is not there yet, or their size has GPUs"
        if why:
            self._say(f"no containers wait: {why}")
        return recipe

    def _prepare(self) -> str | None:
        """Make the shared folders, whose groups are part of the recipe; return why it fails."""
        if not self._prepared:
            try:
                files.prepare(self._context)
            except files.FilesError as error:
                return str(error)
            self._prepared = True
        return None

    def _keep(self, api: Any, recipe: Recipe, rows: list[WarmRow], *, recent: Any) -> None:
        """Make one more, or one fewer, if the count is not what it should be."""
        waiting = [row for row in rows if row.state != "claimed" and row.recipe == recipe.key]
        count = self._context.settings.workspaces.warm.count
        if len(waiting) > count:
            self._retire(api, max(waiting, key=lambda row: row.created_at))
        calm = all(_claimed(row) < recent for row in rows if row.state == "claimed")
        if len(waiting) < count and calm and all(row.state == "ready" for row in waiting):
            self._make(api, recipe)

    def _make(self, api: Any, recipe: Recipe) -> None:
        if not firewall.in_force(self._names):
            self._say("no container is made to wait: the containers' network is not closed")
            return
        try:
            self._slots.open()
            slot = self._slots.make()
        except OSError as error:
            self._say(f"no containers wait: nothing can be mounted for them: {error}")
            return
        try:
            container = recipe.create(api, self._names, slot=slot, mounts=self._slots.mounts(slot))
        except ImageNotFound:
            self._remove_slot(slot)
            self._say(f"no containers wait: the image {recipe.digest} is not on this engine")
            return
        with self._context.database.session() as session:
            session.add(
                WarmRow(
                    container=container,
                    digest=recipe.digest,
                    size=recipe.size,
                    recipe=recipe.key,
                    slot=slot,
                    created_at=database_now(session),
                )
            )
        api.start(container)
        self._said = None

    def _mark_ready(self, row: WarmRow) -> None:
        with self._context.database.session() as session:
            session.execute(
                update(WarmRow)
                .where(WarmRow.container == row.container, WarmRow.state == "starting")
                .values(state="ready")
            )
        row.state = "ready"

    def _retire(self, api: Any, row: WarmRow) -> None:
        """Remove one that waits, unless it is claimed at this very moment."""
        with self._context.database.session() as session:
            gone = session.execute(
                delete(WarmRow).where(
                    WarmRow.container == row.container, WarmRow.state != "claimed"
                )
            )
        if gone.rowcount == 1:  # type: ignore[attr-defined]
            self._remove(api, row.container)
            self._remove_slot(row.slot)

    def _forget(self, row: WarmRow) -> None:
        """Clear up after a container that is gone."""
        self._remove_slot(row.slot)
        with self._context.database.session() as session:
            session.execute(delete(WarmRow).where(WarmRow.container == row.container))

    def _clear(self, api: Any, containers: dict[str, Any], known: set[str]) -> None:
        """Remove containers that wait for nobody. One with a user has another name by now."""
        for identity, found in containers.items():
            slot = found["Labels"]["perijove.slot"]
            if (
                identity not in known
                and f"/{self._names.container('pool', slot)}" in found["Names"]
            ):
                self._remove(api, identity)

    def _remove_slot(self, slot: str) -> None:
        """Remove a slot; one that cannot go is tried again at the next step."""
        try:
            self._slots.remove(slot)
        except OSError as error:
            self._say(f"slot {slot} stays: {error}")

    def _remove(self, api: Any, container: str) -> None:
        try:
            api.remove_container(container, force=True, v=True)
        except NotFound:
            pass
        except APIError as error:
            # It is being removed already.
            if error.status_code != 409:
                raise

    def _complain(self, api: Any, row: WarmRow) -> None:
        """Log why one that should wait does not."""
        try:
            text = api.logs(row.container, tail=5).decode(errors="replace").strip()
        except APIError:
            text = ""
        log.warning("waiting container %s ended or hangs: %s", row.container[:12], text or "-")

    def _say(self, problem: str) -> None:
        """Log a problem, once until a container has been made."""
        if problem != self._said:
            log.warning("%s", problem)
        self._said = problem


def _claimed(row: WarmRow) -> Any:
    return row.claimed_at or row.created_at

"""Which replica answers for which deployment, as the gateway last read it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import load_only
from starlette.concurrency import run_in_threadpool

from perijove_hub.exceptions import Unavailable
from perijove_hub.store import Database
from perijove_hub.store.models import DeploymentRow, ReplicaRow

log = logging.getLogger(__name__)

#: Seconds between two looks at the database.
PERIOD = 0.5
#: Seconds between two looks for names that nobody knows.
AT_MOST = 0.1


#: What a route needs of a deployment: its rights, and what to tell callers.
_COLUMNS = (
    DeploymentRow.name,
    DeploymentRow.owner,
    DeploymentRow.group,
    DeploymentRow.visibility,
    DeploymentRow.model,
    DeploymentRow.version,
    DeploymentRow.state,
    DeploymentRow.reason,
)


@dataclass(frozen=True)
class Route:
    """A deployment and where its newest ready replica answers."""

    deployment: DeploymentRow
    replica: str | None = None
    address: str | None = None
    version: int = 0
    """The model version that answers; the deployment's own may be yet to come."""

    @property
    def name(self) -> str:
        """The deployment's name."""
        return self.deployment.name


class Routes:
    """The route table, read again and again, and kept while the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._table: dict[str, Route] | None = None
        self._read_at = 0.0
        self._failing = False
        self._reading = asyncio.Lock()

    async def follow(self) -> None:
        """Keep the table fresh until cancelled."""
        while True:
            with contextlib.suppress(Unavailable):
                await self.refresh()
            await asyncio.sleep(PERIOD)

    async def refresh(self) -> None:
        """Read the table now; raises ``Unavailable`` when there never was one to keep."""
        async with self._reading:
            # What was made while it was read may not be in it.
            began = time.monotonic()
            try:
                self._table = await run_in_threadpool(self._read)
                self._read_at = began
                self._failing = False
            except SQLAlchemyError as error:
                if not self._failing:
                    log.warning("the database does not answer: keeping the routes (%s)", error)
                self._failing = True
                if self._table is None:
                    raise Unavailable("The gateway does not know its routes yet.") from None

    async def get(self, name: str) -> Route | None:
        """Return the route of deployment ``name``; one just made is looked for at once."""
        table = await self._known()
        if name not in table and time.monotonic() - self._read_at > AT_MOST:
            await self.refresh()
            table = await self._known()
        return table.get(name)

    async def all(self) -> list[Route]:
        """Return every route, by name."""
        table = await self._known()
        return [table[name] for name in sorted(table)]

    async def _known(self) -> dict[str, Route]:
        if self._table is None:
            await self.refresh()
        return self._table or {}

    def _read(self) -> dict[str, Route]:
        with self._database.reading() as session:
            deployments = session.scalars(
                select(DeploymentRow)
                .where(DeploymentRow.stopping.is_(False))
                .options(load_only(*_COLUMNS, raiseload=True))
            ).all()
            ready = session.scalars(
                select(ReplicaRow)
                .where(ReplicaRow.state == "ready")
                .order_by(ReplicaRow.generation, ReplicaRow.attempt)
            ).all()
        newest = {row.deployment: row for row in ready}
        table = {}
        for deployment in deployments:
            row = newest.get(deployment.name)
            table[deployment.name] = (
                Route(deployment, row.workload, row.address, row.version)
                if row
                else Route(deployment)
            )
        return table

"""The worker's part: make what runs be what was asked for, whoever died meanwhile.

Everything is decided from the database and the launcher, nothing from memory. A row in
``replicas`` is a decision, and is written first; starting its workload can then be repeated,
because the launcher refuses a second one of the same name.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import select

from perijove.types.models import DeploymentState
from perijove_hub.context import Context
from perijove_hub.engine.exceptions import EngineDown
from perijove_hub.exceptions import Invalid, Unavailable
from perijove_hub.images import service as images
from perijove_hub.launch import Launcher, LaunchError, NameTaken, Phase, Status
from perijove_hub.models import ledger, replica
from perijove_hub.models.files import CannotFetch, ModelFiles
from perijove_hub.models.registry import Registry
from perijove_hub.store import audit
from perijove_hub.store.models import DeploymentRow, ReplicaRow, utcnow

log = logging.getLogger(__name__)

#: Longest time from start to ready.
LOADING = timedelta(minutes=10)
#: How long a replica goes on after its route has moved, so that no gateway still knows it.
LINGER = timedelta(seconds=3)
#: Newest replicas of a deployment whose logs are kept.
LOGS = 2


class DeploymentDuty:
    """Reconciles deployments with replicas; ``tick`` may be interrupted anywhere."""

    name = "deployments"
    period = 1.0

    def __init__(self, context: Context, launcher: Launcher) -> None:
        self._context = context
        self._launcher = launcher
        token = context.data.secret("service-perijove")
        self._files = ModelFiles(
            context.data.root / "models",
            lambda workspace: Registry(context.topology.mlflow_url, token, workspace=workspace),
        )

    def tick(self) -> None:
        """Look once at everything and take the next step where one is due."""
        # The launcher before the database: a replica unknown there is then really unknown.
        statuses = {
            status.name: status
            for status in self._launcher.list()
            if status.labels.get("kind") == "replica"
        }
        with self._context.database.reading() as session:
            deployments = session.scalars(select(DeploymentRow)).all()
            replicas: defaultdict[str, list[ReplicaRow]] = defaultdict(list)
            for row in session.scalars(select(ReplicaRow)):
                replicas[row.deployment].append(row)
        known = {row.workload for rows in replicas.values() for row in rows}
        self._end([status for name, status in statuses.items() if name not in known])
        for deployment in deployments:
            rows = sorted(replicas[deployment.name], key=lambda row: (row.generation, row.attempt))
            try:
                self._reconcile(deployment, rows, statuses)
            except Exception:
                log.exception("deployment %s: this look at it failed", deployment.name)
        self._files.sweep(
            {
                _key(deployment, generation)
                for deployment in deployments
                for generation in (
                    deployment.generation,
                    *(row.generation for row in replicas[deployment.name]),
                )
            }
        )

    def _reconcile(
        self, deployment: DeploymentRow, rows: Sequence[ReplicaRow], statuses: dict[str, Status]
    ) -> None:
        if deployment.stopping:
            self._undeploy(deployment, rows, statuses)
            return
        for row in rows:
            status = statuses.get(row.workload)
            if row.state in ledger.LIVE:
                self._observe(deployment, row, status)
            elif row.state == "stopped":
                self._retire(row, status)
        for row in rows[:-LOGS]:
            status = statuses.get(row.workload)
            if row.state in ("failed", "lost") and status is not None:
                self._end([status])
        wanted = deployment.state != DeploymentState.failed.value
        if wanted and not any(row.generation == deployment.generation for row in rows):
            with self._context.database.session() as session:
                ledger.begin(session, deployment.name, deployment.generation)

    def _observe(self, deployment: DeploymentRow, row: ReplicaRow, status: Status | None) -> None:
        """Take a live replica's next step: launch it, find it ready, or find it dead."""
        if status is None:
            if row.state == "starting":
                self._launch(deployment, row)
            else:
                self._lost(row, "The replica vanished", lost=True)
        elif status.phase is Phase.running:
            if row.state == "starting":
                self._await_ready(row, status)
        else:
            cause = replica.cause(
                self._launcher, status, memory_mb=self._context.settings.models.memory_mb
            )
            self._lost(
                row,
                cause,
                # Stopped, but not by us: whoever shuts the machine down says nothing of the model.
                lost=status.phase is Phase.gone or status.cause in ("stopped", "engine"),
                hopeless=status.exit_code == replica.CANNOT_LOAD,
            )

    def _launch(self, deployment: DeploymentRow, row: ReplicaRow) -> None:
        with self._context.database.reading() as session:
            if utcnow() < row.created_at + ledger.pause(session, row):
                return
        try:
            folder = self._files.get(
                _key(deployment, row.generation),
                workspace=deployment.workspace,
                model=deployment.model,
                version=row.version,
            )
        except CannotFetch as error:
            self._lost(row, str(error), hopeless=True)
            return
        except Unavailable as error:
            self._explain(deployment, f"{error} Trying again.")
            return
        if folder is None:
            return
        try:
            image = self._image(deployment)
        except Invalid as error:
            why = f"Its image does not start: {error.detail} {error.fix}"
            self._lost(row, why, hopeless=True)
            return
        workload = replica.workload(self._context, deployment, row, model=folder, image=image)
        try:
            self._launcher.start(workload)
        except NameTaken:
            return  # another worker was faster: the next look adopts it
        except EngineDown as error:
            self._explain(deployment, f"{error} Trying again.")
            return
        except LaunchError as error:
            self._lost(row, f"The replica could not be started: {error}")
            return
        with self._context.database.session() as session:
            audit.record(
                session,
                deployment.owner,
                "replica.start",
                f"deployment/{deployment.name}",
                version=row.version,
                image=deployment.image,
                digest=image,
            )
        log.info("started %s for deployment %s", row.workload, deployment.name)

    def _image(self, deployment: DeploymentRow) -> str | None:
        """Return the digest its replicas start from: still approved, and its owner's to see."""
        if self._context.topology.spawner != "docker":
            return None
        with self._context.database.reading() as session:
            return images.started(
                session, deployment.owner, deployment.image, self._context.settings
            ).digest

    def _await_ready(self, row: ReplicaRow, status: Status) -> None:
        found = replica.address(self._launcher, status)
        if found is not None:
            with self._context.database.session() as session:
                ledger.ready(session, row.workload, found)
            log.info("%s is ready at %s", row.workload, found)
        elif utcnow() > (status.started_at or row.created_at) + LOADING:
            self._launcher.stop(row.workload)
            self._lost(row, f"The model was not loaded after {LOADING.seconds // 60} minutes")

    def _retire(self, row: ReplicaRow, status: Status | None) -> None:
        """End a replica that no route leads to any more, and forget it."""
        if status is None:
            with self._context.database.session() as session:
                ledger.forget(session, row.workload)
        elif status.phase is not Phase.running or utcnow() > row.updated_at + LINGER:
            self._end([status])

    def _undeploy(
        self, deployment: DeploymentRow, rows: Sequence[ReplicaRow], statuses: dict[str, Status]
    ) -> None:
        left = [statuses[row.workload] for row in rows if row.workload in statuses]
        self._end(left)
        if not left:
            with self._context.database.session() as session:
                gone = ledger.remove(session, deployment.name)
            if gone:
                log.info("undeployed %s", deployment.name)

    def _end(self, statuses: Sequence[Status]) -> None:
        """Stop what runs and remove what has ended."""
        for status in statuses:
            if status.phase is Phase.running:
                self._launcher.stop(status.name)
            else:
                self._launcher.remove(status.name)

    def _lost(
        self, row: ReplicaRow, cause: str, *, lost: bool = False, hopeless: bool = False
    ) -> None:
        log.warning("%s: %s", row.workload, cause)
        with self._context.database.session() as session:
            ledger.failed(session, row.workload, cause, lost=lost, hopeless=hopeless)

    def _explain(self, deployment: DeploymentRow, reason: str) -> None:
        if deployment.reason != reason:
            with self._context.database.session() as session:
                ledger.explain(session, deployment.name, reason)


def _key(deployment: DeploymentRow, generation: int) -> str:
    return f"{deployment.id}-{generation}"

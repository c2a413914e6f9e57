"""The replicas' book: each function is one step of a deployment's life, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from perijove.types.models import DeploymentState
from perijove_hub.models import replica
from perijove_hub.store.models import DeploymentRow, ReplicaRow, utcnow

#: States of a replica that runs, or is to.
LIVE = ("starting", "ready")
#: Failures in a row, each soon after its start, after which nothing more is tried.
PATIENCE = 5
#: The same for a model that cannot be loaded, which rarely gets better by itself.
LOAD_PATIENCE = 2
#: A replica that was ready this long has not failed quickly.
STEADY = timedelta(seconds=60)
#: Longest pause between two attempts.
LONGEST_PAUSE = timedelta(seconds=30)


def begin(session: Session, name: str, generation: int) -> None:
    """Decide on the first replica of a generation, and give up older ones never ready."""
    deployment = session.get(DeploymentRow, name)
    if deployment is None or deployment.generation != generation or deployment.stopping:
        return
    rows = _of_deployment(session, name)
    if any(row.generation == generation for row in rows):
        return
    served = {row.generation for row in rows if row.address is not None}
    for row in rows:
        if row.state in LIVE and row.generation not in served:
            _set(row, "stopped")
    _add(session, deployment, generation=generation, version=deployment.version, attempt=1)


def ready(session: Session, workload: str, address: str) -> None:
    """Move the route: this replica answers from now on, and older generations' retire."""
    row = session.get(ReplicaRow, workload)
    if row is None or row.state != "starting":
        return
    row.address = address
    _set(row, "ready")
    for other in _of_deployment(session, row.deployment):
        if other.generation < row.generation:
            # Ended ones too, so that their workloads, logs and files go.
            _set(other, "stopped")
        elif other.generation == row.generation and other.attempt < row.attempt - PATIENCE:
            session.delete(other)
    deployment = session.get_one(DeploymentRow, row.deployment)
    if deployment.generation == row.generation and not deployment.stopping:
        deployment.state, deployment.reason = DeploymentState.ready.value, None


def failed(
    session: Session, workload: str, cause: str, *, lost: bool = False, hopeless: bool = False
) -> None:
    """Write down that a live replica died, and decide whether to try again.

    ``lost`` is one that went with its machine, which says nothing against the model;
    ``hopeless`` one that would most likely fail again.
    """
    row = session.get(ReplicaRow, workload)
    if row is None or row.state not in LIVE:
        return
    row.reason = cause
    _set(row, "lost" if lost else "failed")
    deployment = session.get_one(DeploymentRow, row.deployment)
    current = deployment.generation == row.generation
    failures = _quick_failures(session, row)
    if failures < (LOAD_PATIENCE if hopeless else PATIENCE):
        _add(
            session,
            deployment,
            generation=row.generation,
            version=row.version,
            attempt=row.attempt + 1,
        )
        if current:
            deployment.state = DeploymentState.starting.value
            deployment.reason = f"{cause}. Starting again: attempt {row.attempt + 1}."
    elif current:
        deployment.state = DeploymentState.failed.value
        deployment.reason = f"{cause}. Given up after {row.attempt} attempts."
        for other in _of_deployment(session, row.deployment):
            if other.state == "ready":
                deployment.reason += f" Version {other.version} goes on answering."


def pause(session: Session, row: ReplicaRow) -> timedelta:
    """How long after its decision an attempt is started: 0, 1, 2, 4 … seconds."""
    if row.attempt == 1:
        return timedelta(0)
    previous = session.scalars(
        select(ReplicaRow).where(
            ReplicaRow.deployment == row.deployment,
            ReplicaRow.generation == row.generation,
            ReplicaRow.attempt == row.attempt - 1,
        )
    ).first()
    failures = _quick_failures(session, previous) if previous is not None else 0
    if failures == 0:
        return timedelta(0)
    return min(timedelta(seconds=2 ** (failures - 1)), LONGEST_PAUSE)


def forget(session: Session, workload: str) -> None:
    """Delete a retired replica, whose workload has gone."""
    row = session.get(ReplicaRow, workload)
    if row is not None and row.state == "stopped":
        session.delete(row)


def remove(session: Session, name: str) -> bool:
    """Delete an undeployed deployment; false when it was deployed again meanwhile."""
    deployment = session.get(DeploymentRow, name)
    if deployment is None or not deployment.stopping:
        return False
    session.delete(deployment)
    return True


def explain(session: Session, name: str, reason: str) -> None:
    """Tell people what a starting deployment waits for."""
    deployment = session.get(DeploymentRow, name)
    if deployment is not None and deployment.state == DeploymentState.starting.value:
        deployment.reason = reason


def _of_deployment(session: Session, name: str) -> Sequence[ReplicaRow]:
    return session.scalars(
        select(ReplicaRow)
        .where(ReplicaRow.deployment == name)
        .order_by(ReplicaRow.generation.desc(), ReplicaRow.attempt.desc())
    ).all()


def _add(
    session: Session, deployment: DeploymentRow, *, generation: int, version: int, attempt: int
) -> None:
    session.add(
        ReplicaRow(
            workload=replica.workload_name(deployment, generation, attempt),
            deployment=deployment.name,
            generation=generation,
            version=version,
            attempt=attempt,
            state="starting",
        )
    )


def _set(row: ReplicaRow, state: str) -> None:
    row.state = state
    row.updated_at = utcnow()


def _quick_failures(session: Session, last: ReplicaRow) -> int:
    """Count the failures up to ``last`` that followed each other quickly."""
    count = 0
    rows = [
        row
        for row in _of_deployment(session, last.deployment)
        if row.generation == last.generation and row.attempt <= last.attempt
    ]
    for row in rows:
        was_steady = row.address is not None and (
            row.state == "lost" or row.updated_at - row.created_at >= STEADY
        )
        if row.state not in ("failed", "lost") or was_steady:
            break
        count += 1
    return count

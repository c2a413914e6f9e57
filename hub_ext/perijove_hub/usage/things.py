"""What is charged: who for, of which size, since when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from perijove_hub.settings import Settings, SizeSettings
from perijove_hub.store.models import (
    AttemptRow,
    BuildRow,
    DeploymentRow,
    ImageRow,
    ImageVersionRow,
    JobRow,
    JobVersionRow,
    KernelRow,
    PrincipalRow,
    ReplicaRow,
    RunRow,
    WorkspaceRow,
)
from perijove_hub.usage.alive import Alive
from perijove_hub.workspaces.servers import Server

#: States in which a remote kernel has its container.
KERNEL_RUNS = ("starting", "running", "stopping")


@dataclass(frozen=True)
class Thing:
    """Something that runs, or ran, for somebody."""

    kind: str
    object: str
    user: str
    group: str | None
    image: str
    digest: str | None
    size: str
    settings_size: SizeSettings
    since: datetime | None = None
    until: datetime | None = None
    """When it ended; null while it runs."""


def charged_group(session: Session, user: str, preferred: str | None = None) -> str | None:
    """Return who pays: the group asked for, else the user's first by name, else nobody."""
    if preferred:
        return preferred
    known = session.get(PrincipalRow, user)
    groups = sorted(known.groups) if known is not None else []
    return groups[0] if groups else None


def size_for(settings: Settings, *, memory_mb: int, gpus: float = 0) -> tuple[str, SizeSettings]:
    """Return what something without a size is charged as, and that size's name.

    The cheapest with as much memory and as many GPUs, or the largest where none is enough.
    """
    sizes = settings.workspaces.sizes
    if not sizes:
        return "", SizeSettings(memory_mb=max(512, memory_mb))
    enough = {n: s for n, s in sizes.items() if s.memory_mb >= memory_mb and s.gpus >= gpus}
    if enough:
        return min(enough.items(), key=lambda item: (item[1].price, item[1].memory_mb))
    return max(sizes.items(), key=lambda item: (item[1].gpus, item[1].memory_mb))


def workspaces(session: Session, settings: Settings, alive: Alive) -> list[Thing] | None:
    """Return the workspaces that run; ``None`` when that cannot be known now."""
    if alive.docker:
        return _workspace_containers(session, settings, alive)
    if alive.servers is None:
        return None
    # One that is being started may never come up.
    up = [server for server in alive.servers if server.ready or server.pending == "stop"]
    return [_workspace_of(session, settings, server) for server in up]


def kernels(session: Session, settings: Settings) -> list[Thing]:
    """Return the remote kernels that run."""
    rows = session.scalars(select(KernelRow).where(KernelRow.state.in_(KERNEL_RUNS)))
    return [
        Thing(
            "kernel",
            row.id,
            row.user,
            charged_group(session, row.user, row.group),
            row.image,
            row.digest,
            row.size,
            settings.workspaces.sizes.get(row.size, SizeSettings()),
        )
        for row in rows
    ]


def replicas(session: Session, settings: Settings) -> list[Thing]:
    """Return the replicas that answer."""
    rows = session.execute(
        select(ReplicaRow, DeploymentRow)
        .join(DeploymentRow, ReplicaRow.deployment == DeploymentRow.name)
        .where(ReplicaRow.state == "ready")
    )
    size, as_size = size_for(settings, memory_mb=settings.models.memory_mb)
    return [
        Thing(
            "replica",
            row.workload,
            deployment.owner,
            charged_group(session, deployment.owner, deployment.group),
            deployment.image or "",
            deployment.image_digest,
            size,
            as_size,
            # It became ready when its row was last changed.
            since=row.updated_at,
        )
        for row, deployment in rows
    ]


def runs(session: Session, settings: Settings, since: datetime) -> Iterator[Thing]:
    """Yield the job runs that run, and those that ended after ``since``; each try is one."""
    started = (
        select(RunRow, JobRow, JobVersionRow)
        .join(JobRow, RunRow.job_id == JobRow.id)
        .join(
            JobVersionRow,
            (JobVersionRow.job_id == RunRow.job_id) & (JobVersionRow.version == RunRow.version),
        )
    )
    last = started.where(
        RunRow.started_at.is_not(None), (RunRow.state == "running") | (RunRow.ended_at > since)
    )
    for row, job, version in session.execute(last):
        yield _try(session, settings, row, job, version, of=row)
    earlier = started.join(AttemptRow, AttemptRow.run_id == RunRow.id).add_columns(AttemptRow)
    earlier = earlier.where(AttemptRow.started_at.is_not(None), AttemptRow.ended_at > since)
    for row, job, version, attempt in session.execute(earlier):
        yield _try(session, settings, row, job, version, of=attempt)


def _try(
    session: Session,
    settings: Settings,
    row: RunRow,
    job: JobRow,
    version: JobVersionRow,
    *,
    of: RunRow | AttemptRow,
) -> Thing:
    size, as_size = size_for(settings, memory_mb=job.memory_mb or settings.jobs.memory_mb)
    return Thing(
        "run",
        row.id if of.attempt == 1 else f"{row.id}-{of.attempt}",
        row.owner,
        charged_group(session, row.owner, job.group),
        version.image or "",
        version.image_digest,
        size,
        as_size,
        of.started_at,
        of.ended_at,
    )


def builds(session: Session, settings: Settings, since: datetime) -> Iterator[Thing]:
    """Yield the image builds that run, and those that ended after ``since``."""
    rows = session.execute(
        select(BuildRow, ImageRow)
        .join(ImageRow, BuildRow.image_id == ImageRow.id)
        .where(
            BuildRow.started_at.is_not(None),
            (BuildRow.state == "running") | (BuildRow.ended_at > since),
        )
    )
    size, as_size = size_for(settings, memory_mb=settings.images.memory_mb)
    for row, image in rows:
        yield Thing(
            "build",
            row.id,
            row.requested_by,
            charged_group(session, row.requested_by, image.group),
            f"{image.name}@{row.version}",
            None,
            size,
            as_size,
            row.started_at,
            row.ended_at,
        )


def _workspace_containers(session: Session, settings: Settings, alive: Alive) -> list[Thing] | None:
    if alive.containers is None:
        return None
    rows = session.scalars(select(WorkspaceRow)).all()
    by_holder = {f"{row.user}/{row.server}": row for row in rows}
    # One that was claimed from the pool was labelled before it had a user.
    by_container = {row.container: row for row in rows if row.container}
    found: dict[str, Thing] = {}
    for container in alive.containers:
        row = by_container.get(container.id) or by_container.get(container.name)
        since = row.started_at if row is not None else container.created_at
        if row is None:
            if container.kind != "workspace" or not container.user:
                continue
            row = by_holder.get(container.holder)
        user, server = (row.user, row.server) if row is not None else container.holder.split("/", 1)
        choice = row.choice if row is not None else {}
        found[f"{user}/{server}"] = _workspace(session, settings, user, server, choice, since)
    return list(found.values())


def _workspace_of(session: Session, settings: Settings, server: Server) -> Thing:
    row = session.get(WorkspaceRow, (server.user, server.name))
    choice = dict(server.choice) or (row.choice if row is not None else {})
    if not choice.get("group") and server.groups:
        choice["group"] = server.groups[0]
    return _workspace(session, settings, server.user, server.name, choice, server.started_at)


def _workspace(
    session: Session,
    settings: Settings,
    user: str,
    server: str,
    choice: dict[str, Any],
    since: datetime | None,
) -> Thing:
    size = str(choice.get("size") or settings.workspaces.default_size)
    image, digest = _image(session, choice)
    return Thing(
        "workspace",
        f"{user}/{server}",
        user,
        charged_group(session, user, choice.get("group")),
        image,
        digest,
        size,
        settings.workspaces.sizes.get(size, SizeSettings()),
        since,
    )


def _image(session: Session, choice: dict[str, Any]) -> tuple[str, str | None]:
    """Return ``NAME@VERSION`` and digest of a choice, as far as they are known."""
    image = str(choice.get("runs") or choice.get("image") or "")
    if choice.get("digest"):
        return image, str(choice["digest"])
    name, _, version = image.partition("@")
    if not version.isdecimal() or len(version) > 9:
        return image, None
    digest = session.scalar(
        select(ImageVersionRow.digest)
        .join(ImageRow, ImageVersionRow.image_id == ImageRow.id)
        .where(ImageRow.name == name, ImageVersionRow.version == int(version))
    )
    return image, digest

"""Put together what a claimed run starts with: image, secrets, folder with its inputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from perijove.types.base import Principal
from perijove.types.jobs import Resources
from perijove_hub.access import may_see
from perijove_hub.context import Context
from perijove_hub.exceptions import Invalid
from perijove_hub.images.service import Started
from perijove_hub.jobs import owners, scratch, wire, workload
from perijove_hub.jobs.image import startable
from perijove_hub.jobs.names import workload_name
from perijove_hub.launch import Workload
from perijove_hub.secrets import values as secret_values
from perijove_hub.store.models import (
    ArtifactRow,
    JobInputRow,
    JobRow,
    JobVersionRow,
    PrincipalRow,
    RunRow,
    SweepRow,
    TrialRow,
)


@dataclass(frozen=True)
class Claimed:
    """A run that this worker took from the queue."""

    run: RunRow
    job: JobRow
    version: JobVersionRow
    limits: Resources
    token: str


@dataclass(frozen=True)
class Ready:
    """What can be started."""

    workload: Workload
    folder: Path
    image: Started | None


def ready(context: Context, claimed: Claimed, root: Path, *, old: bool = False) -> Ready:
    """Make the run's folder below ``root`` and describe its workload, for an ``old`` runner say.

    Raises ``Invalid`` where it is refused, with nothing made; ``OSError``, ``KeyError`` or
    ``ValueError`` where its files cannot be.
    """
    run, job = claimed.run, claimed.job
    if not owners.is_user(context, run.owner):
        raise Invalid(
            f"{run.owner} is no longer a user of the Hub.", fix="Promote the notebook as another."
        )
    with context.database.reading() as session:
        image = startable(session, context, job, claimed.version)
        secrets = _secrets(session, context, claimed)
        inputs = [*_own(session, claimed.version), *_upstream(session, run)]
        experiment = _experiment(session, run) if run.tracking_parent else None
    folder = scratch.prepare(
        root,
        workload_name(run.id, run.attempt),
        notebook=context.blobs.get(claimed.version.notebook_sha256),
        parameters=run.parameters,
        files=((path, context.blobs.get(sha256)) for path, sha256 in inputs),
    )
    described = workload.describe(
        run,
        job=job.name,
        folder=folder,
        image=image,
        limits=claimed.limits,
        disk_mb=context.settings.jobs.disk_mb,
        topology=context.topology,
        token=claimed.token,
        secrets=secrets,
        experiment=experiment,
        old=old,
    )
    return Ready(described, folder, image)


def _secrets(session: Session, context: Context, claimed: Claimed) -> dict[str, str]:
    declared = wire.parameters(claimed.version)
    named = secret_values.named(declared, claimed.run.parameters)
    return secret_values.of_run(session, context, claimed.run.owner, set(named.values()))


def _experiment(session: Session, run: RunRow) -> str | None:
    """Return the experiment of a sweep's run: MLflow shows runs below another only in the same."""
    rows = select(SweepRow.spec).join(TrialRow, TrialRow.sweep_id == SweepRow.id)
    found = session.scalars(rows.where(TrialRow.run_id == run.id)).first()
    return str(found["experiment"]) if found else None


def _own(session: Session, version: JobVersionRow) -> Iterator[tuple[str, str]]:
    """Yield path and address of the files that the version keeps."""
    rows = select(JobInputRow).where(
        JobInputRow.job_id == version.job_id, JobInputRow.version == version.version
    )
    for row in session.scalars(rows.order_by(JobInputRow.path)):
        yield row.path, row.sha256


def _upstream(session: Session, run: RunRow) -> Iterator[tuple[str, str]]:
    """Yield path and address of what the runs before this one left.

    The run's owner has to have a right to them today. Raises ``Invalid``.
    """
    known = session.get(PrincipalRow, run.owner)
    owner = Principal(name=run.owner, kind="run", groups=list(known.groups) if known else [])
    for name, run_id in sorted(run.upstream.items()):
        before = session.get(RunRow, run_id)
        job = session.get(JobRow, before.job_id) if before is not None else None
        if before is None or job is None or not may_see(owner, job):
            raise Invalid(
                f"{run.owner} may no longer see the job '{name}', after which it runs.",
                fix=f"Ask the owner of '{name}' to share it, or take it out of the schedule.",
            )
        if before.dropped_at is not None:
            raise Invalid(
                f"What the run of '{name}' left, after which it ran, was deleted on "
                f"{before.dropped_at:%Y-%m-%d}: '{name}' keeps it no longer.",
                fix=f"Run '{name}' again; the job follows it.",
            )
        rows = select(ArtifactRow).where(ArtifactRow.run_id == run_id)
        for row in session.scalars(rows.order_by(ArtifactRow.path)):
            yield f"{scratch.INPUTS}/{name}/{row.path}", row.sha256

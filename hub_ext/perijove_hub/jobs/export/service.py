"""Gather what of a job is exported."""

from __future__ import annotations

from sqlalchemy import select

from perijove.types.base import Principal
from perijove_hub.access import may_see
from perijove_hub.context import Context
from perijove_hub.exceptions import Invalid
from perijove_hub.jobs import limits, versions, wire
from perijove_hub.jobs.export import airflow
from perijove_hub.jobs.image import startable
from perijove_hub.jobs.service import find
from perijove_hub.secrets import values as secrets
from perijove_hub.store.models import JobInputRow, JobRow, ScheduleRow, UpstreamRow

#: What a notebook runs in that was promoted where workspaces are processes.
IMAGE = "perijove/cpu:latest"


def export(
    context: Context,
    principal: Principal,
    job_id: str,
    *,
    version: int | None,
    image: str | None,
) -> tuple[str, str]:
    """Return a file's name and text: the DAG of a version, the latest if left out.

    ``image`` stands in for the version's, as where another engine pulls it from. Raises
    ``Invalid`` for a version too large for a file that Airflow reads, and ``NotFound``.
    """
    with context.database.reading() as session:
        job = find(session, principal, job_id)
        found = (
            wire.latest_version(session, job.id)
            if version is None
            else versions.find(session, job, version)
        )
        inputs = session.scalars(
            select(JobInputRow).where(
                JobInputRow.job_id == job.id, JobInputRow.version == found.version
            )
        ).all()
        row = session.get(ScheduleRow, job.id)
        upstream = session.scalars(
            select(JobRow)
            .join(UpstreamRow, UpstreamRow.upstream_id == JobRow.id)
            .where(UpstreamRow.job_id == job.id)
            .order_by(JobRow.owner, JobRow.name)
        ).all()
        if not all(may_see(principal, one) and one.deleted_at is None for one in upstream):
            raise Invalid(
                f"'{job.name}' runs after jobs that were deleted or that you may not see, and the "
                "file would name them.",
                field="schedule.after",
                fix="Ask its owner to export it, or to set its schedule anew.",
            )
        schedule = wire.schedule(row, [one.id for one in upstream]) if row else None
        started = None if image else startable(session, context, job, found)
        parameters = wire.parameters(found)
        given = dict(schedule.parameters) if schedule else {}
        exported = airflow.Exported(
            owner=job.owner,
            job=job.name,
            version=found.version,
            digest=found.digest,
            image=image or (started.digest if started else IMAGE),
            notebook=context.blobs.get(found.notebook_sha256),
            inputs={one.path: context.blobs.get(one.sha256) for one in inputs},
            parameters=parameters,
            secrets=sorted(set(secrets.named(parameters, given).values())),
            resources=limits.of_run(context.settings.jobs, job),
            policy=wire.policy(job),
            schedule=schedule,
            after=[(one.owner, one.name) for one in upstream],
            created_at=found.created_at,
        )
    try:
        return airflow.dag_id(job.owner, job.name), airflow.dag(exported)
    except ValueError as error:
        raise Invalid(
            f"The version is too large for a DAG: {error}.",
            field="version",
            fix="Keep large files elsewhere, and promote the notebook without them.",
        ) from None

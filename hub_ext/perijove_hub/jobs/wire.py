"""Rows as messages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from statistics import median

from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import Session

from perijove.types.base import Principal, Visibility
from perijove.types.jobs import (
    AfterRule,
    Artifact,
    CatchUp,
    Cause,
    Follow,
    Input,
    Job,
    JobVersion,
    Overlap,
    Parameter,
    Policy,
    Progress,
    Resources,
    Run,
    RunState,
    ScheduleState,
)
from perijove_hub.access import visible
from perijove_hub.jobs.versions import digest as version_digest
from perijove_hub.store.models import (
    ArtifactRow,
    JobInputRow,
    JobRow,
    JobVersionRow,
    RunRow,
    ScheduleRow,
    UpstreamRow,
)


def versions(session: Session, rows: Sequence[JobVersionRow]) -> list[JobVersion]:
    """Tell of versions, with one query for the files of all of them."""
    kept: dict[tuple[str, int], list[Input]] = {(row.job_id, row.version): [] for row in rows}
    found = session.scalars(
        select(JobInputRow)
        .where(tuple_(JobInputRow.job_id, JobInputRow.version).in_(list(kept)))
        .order_by(JobInputRow.path)
    )
    for one in found:
        file = Input(path=one.path, sha256=one.sha256, bytes=one.bytes)
        kept[one.job_id, one.version].append(file)
    return [_version(row, kept[row.job_id, row.version]) for row in rows]


def _version(row: JobVersionRow, inputs: list[Input]) -> JobVersion:
    # A version older than digests has none stored.
    digest = row.digest or version_digest(
        notebook_sha256=row.notebook_sha256,
        inputs={file.path: file.sha256 for file in inputs},
        parameters=row.parameters,
        image_digest=row.image_digest,
    )
    return JobVersion(
        version=row.version,
        digest=digest,
        notebook_sha256=row.notebook_sha256,
        inputs=inputs,
        parameters=parameters(row),
        path=row.path,
        image=row.image,
        created_by=row.created_by,
        created_at=row.created_at,
        approved_by=row.approved_by,
        approved_at=row.approved_at,
    )


def parameters(row: JobVersionRow) -> list[Parameter]:
    """Return the parameters a version declares."""
    return [Parameter.model_validate(one) for one in row.parameters]


def _run(
    row: RunRow, job_name: str, *, upstream: Mapping[str, str], artifacts: Sequence[Artifact]
) -> Run:
    return Run(
        id=row.id,
        job_id=row.job_id,
        job=job_name,
        version=row.version,
        owner=row.owner,
        state=RunState(row.state),
        reason=row.reason,
        cause=Cause(row.cause) if row.cause else None,
        parameters=row.parameters,
        trigger=row.trigger,
        requested_by=row.requested_by,
        slot=row.slot,
        attempt=row.attempt,
        priority=row.priority,
        not_before=row.not_before,
        rerun_of=row.rerun_of,
        upstream=dict(upstream),
        progress=Progress(
            cells_done=row.cells_done,
            cells_total=row.cells_total,
            current_cell=row.current_cell,
        ),
        failed_cell=row.failed_cell,
        peak_memory_mb=row.peak_memory_mb,
        queued_at=row.queued_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        metrics=row.metrics,
        artifacts=list(artifacts),
        has_output=row.output_sha256 is not None,
        dropped_at=row.dropped_at,
    )


def runs(
    session: Session, rows: Sequence[RunRow], names: Mapping[str, str], *, reader: Principal
) -> list[Run]:
    """Tell of runs, with two queries however many they are; ``names`` are the jobs', by id.

    Of the runs that they followed, ``reader`` learns of those they may see.
    """
    seen = _seen(session, reader, {one for row in rows for one in row.upstream.values()})
    left: defaultdict[str, list[Artifact]] = defaultdict(list)
    found = session.scalars(
        select(ArtifactRow)
        .where(ArtifactRow.run_id.in_([row.id for row in rows]))
        .order_by(ArtifactRow.run_id, ArtifactRow.path)
    )
    for one in found:
        left[one.run_id].append(Artifact(path=one.path, sha256=one.sha256, bytes=one.bytes))
    return [
        _run(
            row,
            names[row.job_id],
            upstream={name: one for name, one in row.upstream.items() if one in seen},
            artifacts=left[row.id],
        )
        for row in rows
    ]


def run(session: Session, row: RunRow, job_name: str, *, reader: Principal) -> Run:
    """Tell of one run, as ``runs`` does."""
    return runs(session, [row], {row.job_id: job_name}, reader=reader)[0]


def _seen(session: Session, reader: Principal, run_ids: Collection[str]) -> set[str]:
    if not run_ids:
        return set()
    return set(
        session.scalars(
            select(RunRow.id)
            .join(JobRow, JobRow.id == RunRow.job_id)
            .where(RunRow.id.in_(run_ids), JobRow.deleted_at.is_(None), visible(reader, JobRow))
        )
    )


def expected_s(session: Session, job_id: str) -> float | None:
    """Return the median seconds of a job's last ten runs that succeeded."""
    last = session.execute(
        select(RunRow.started_at, RunRow.ended_at)
        .where(
            RunRow.job_id == job_id,
            RunRow.state == RunState.succeeded.value,
            RunRow.started_at.is_not(None),
            RunRow.ended_at.is_not(None),
        )
        .order_by(RunRow.queued_at.desc(), RunRow.id.desc())
        .limit(10)
    ).all()
    # A clock that was set back in between gives no time at all.
    took = [(end - start).total_seconds() for start, end in last if start and end and end >= start]
    return median(took) if took else None


def schedule(
    row: ScheduleRow, upstream: Sequence[str], names: Mapping[str, str] | None = None
) -> ScheduleState:
    """Tell of a schedule; one that is paused is due at no time. ``names`` are jobs', by id."""
    return ScheduleState(
        cron=row.cron,
        every_s=row.every_s,
        after=list(upstream),
        after_names={one: names[one] for one in upstream if one in names} if names else {},
        rule=AfterRule(row.rule),
        dataset=row.dataset,
        timezone=row.timezone,
        parameters=row.parameters,
        version=row.version or Follow(row.follow),
        catch_up=CatchUp(row.catch_up),
        catch_up_window_s=row.catch_up_window_s,
        overlap=Overlap(row.overlap),
        paused=row.paused,
        next_slot=row.next_slot,
        last_slot=row.last_slot,
    )


def resources(row: JobRow) -> Resources:
    """Return the limits of a job's runs."""
    return Resources(
        memory_mb=row.memory_mb,
        timeout_s=row.timeout_s,
        cell_timeout_s=row.cell_timeout_s,
        max_output_mb=row.max_output_mb,
    )


def policy(row: JobRow) -> Policy:
    """Return how a job's runs are queued, tried again and kept."""
    return Policy(
        concurrency=row.concurrency,
        priority=row.priority,
        retries=row.retries,
        retry_delay_s=row.retry_delay_s,
        retry_backoff=row.retry_backoff,
        keep_days=row.keep_days,
        keep_failed_days=row.keep_failed_days,
    )


def jobs(session: Session, rows: Sequence[JobRow], *, reader: Principal) -> list[Job]:
    """Tell of jobs, with a few queries however many they are.

    Of the jobs that they follow, ``reader`` learns the names of those they may see.
    """
    ids = [row.id for row in rows]
    newest = _latest_versions(session, ids)
    told = versions(session, newest)
    latest = {row.job_id: one for row, one in zip(newest, told, strict=True)}
    scheduled = _schedules(session, ids, reader)
    names = {row.id: row.name for row in rows}
    ended = _last_runs(session, ids)
    last = {one.job_id: one for one in runs(session, ended, names, reader=reader)}
    return [_job(row, latest[row.id], scheduled=scheduled, last=last) for row in rows]


def job(session: Session, row: JobRow, *, reader: Principal) -> Job:
    """Tell of one job, and how long its runs take."""
    found = jobs(session, [row], reader=reader)[0]
    if found.last_run is not None:
        found.last_run.expected_s = expected_s(session, row.id)
    return found


def latest_version(session: Session, job_id: str) -> JobVersionRow:
    """Return a job's newest version; every job has one."""
    return next(iter(_latest_versions(session, [job_id])))


def _job(
    row: JobRow,
    latest: JobVersion,
    *,
    scheduled: Mapping[str, ScheduleState],
    last: Mapping[str, Run],
) -> Job:
    return Job(
        id=row.id,
        name=row.name,
        owner=row.owner,
        owner_group=row.owner_group,
        group=row.group,
        visibility=Visibility(row.visibility),
        created_at=row.created_at,
        updated_at=row.updated_at,
        latest=latest,
        schedule=scheduled.get(row.id),
        resources=resources(row),
        policy=policy(row),
        last_run=last.get(row.id),
    )


def _schedules(session: Session, ids: Sequence[str], reader: Principal) -> dict[str, ScheduleState]:
    upstream: dict[str, list[str]] = {}
    following = select(UpstreamRow).where(UpstreamRow.job_id.in_(ids))
    for row in session.scalars(following.order_by(UpstreamRow.upstream_id)):
        upstream.setdefault(row.job_id, []).append(row.upstream_id)
    followed = {one for some in upstream.values() for one in some}
    seen = select(JobRow).where(JobRow.id.in_(followed), visible(reader, JobRow))
    names = {one.id: _called(one) for one in session.scalars(seen)} if followed else {}
    found = session.scalars(select(ScheduleRow).where(ScheduleRow.job_id.in_(ids)))
    return {row.job_id: schedule(row, upstream.get(row.job_id, []), names) for row in found}


def given_name(job: JobRow) -> str:
    """Return the name that somebody gave a job; a deleted one has its id behind it."""
    return job.name.removesuffix(f"~{job.id}")


def _called(job: JobRow) -> str:
    return job.name if job.deleted_at is None else f"{given_name(job)} (deleted)"


def _latest_versions(session: Session, ids: Sequence[str]) -> Sequence[JobVersionRow]:
    newest = (
        select(JobVersionRow.job_id, func.max(JobVersionRow.version).label("version"))
        .where(JobVersionRow.job_id.in_(ids))
        .group_by(JobVersionRow.job_id)
        .subquery()
    )
    return session.scalars(
        select(JobVersionRow).join(
            newest,
            (JobVersionRow.job_id == newest.c.job_id) & (JobVersionRow.version == newest.c.version),
        )
    ).all()


def _last_runs(session: Session, ids: Sequence[str]) -> Sequence[RunRow]:
    order = func.row_number().over(
        partition_by=RunRow.job_id, order_by=(RunRow.queued_at.desc(), RunRow.id.desc())
    )
    numbered = select(RunRow.id, order.label("number")).where(RunRow.job_id.in_(ids)).subquery()
    return session.scalars(
        select(RunRow).join(numbered, (RunRow.id == numbered.c.id) & (numbered.c.number == 1))
    ).all()

"""Add a run to the queue, once for whatever it is made for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from perijove.types.jobs import Cause, RunState
from perijove_hub.context import Context
from perijove_hub.jobs import after, quota
from perijove_hub.store import audit
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import JobRow, JobVersionRow, RunRow

#: Adds a run unless its key is taken; made once, because a thousand may be due at once.
_INSERT = {
    name: insert(RunRow)
    .on_conflict_do_nothing(index_elements=[RunRow.job_id, RunRow.key])
    .returning(RunRow)
    for name, insert in (("sqlite", sqlite.insert), ("postgresql", postgresql.insert))
}


@dataclass(frozen=True)
class Wanted:
    """A run to be added; what the fields are is said at ``enqueue``."""

    job: JobRow
    version: int
    parameters: Mapping[str, Any]
    trigger: str
    requested_by: str
    key: str | None = None
    slot: datetime | None = None
    priority: int | None = None
    upstream: Mapping[str, str] = field(default_factory=dict)
    rerun_of: str | None = None


def enqueue(
    session: Session,
    context: Context,
    job: JobRow,
    version: int,
    *,
    parameters: Mapping[str, Any],
    trigger: str,
    requested_by: str,
    key: str | None = None,
    slot: datetime | None = None,
    priority: int | None = None,
    upstream: Mapping[str, str] | None = None,
    rerun_of: str | None = None,
) -> RunRow | None:
    """Add a queued run of ``job``, which was flushed, in the caller's transaction; return it.

    ``key`` names what the run is made for; ``None`` comes back when the job has a run with that
    key already, and nothing was changed. ``priority`` is the job's when left out. When the
    group's quota is used up, the run is written down as failed, where its owner looks for it.
    """
    wanted = Wanted(
        job=job,
        version=version,
        parameters=parameters,
        trigger=trigger,
        requested_by=requested_by,
        key=key,
        slot=slot,
        priority=priority,
        upstream=upstream or {},
        rerun_of=rerun_of,
    )
    found = enqueue_all(session, context, [wanted])
    return found[0] if found else None


def enqueue_all(session: Session, context: Context, wanted: Sequence[Wanted]) -> list[RunRow]:
    """Add several runs as ``enqueue`` does, by one statement; return those that are new."""
    now = database_now(session)
    jobs = {one.job.id: one.job for one in wanted}
    refusals = {name: quota.refusal(session, context.settings, job) for name, job in jobs.items()}
    acts_as = _promoters(session, wanted)
    # A constraint that is violated would end the transaction on PostgreSQL.
    added = session.scalars(
        _INSERT[session.get_bind().dialect.name],
        [
            _values(one, acts_as[one.job.id, one.version], now, refusals[one.job.id])
            for one in wanted
        ],
    ).all()
    for row in added:
        actor = "scheduler" if row.trigger in after.AUTOMATIC else row.requested_by
        audit.record(session, actor, "run.create", row.id, job=row.job_id)
        if row.ended_at is not None:
            after.ended(session, row)
    return list(added)


def _promoters(session: Session, wanted: Sequence[Wanted]) -> dict[tuple[str, int], str]:
    """Return, by job and version, who promoted it: as that user its runs act.

    Of a job that a group owns every member may promote a version, and so nobody's rights are lent
    to another's code. Other jobs have versions of their owner only.
    """
    found = session.execute(
        select(JobVersionRow.job_id, JobVersionRow.version, JobVersionRow.created_by).where(
            JobVersionRow.job_id.in_({one.job.id for one in wanted}),
            JobVersionRow.version.in_({one.version for one in wanted}),
        )
    )
    return {(row.job_id, row.version): row.created_by for row in found}


def _values(wanted: Wanted, owner: str, now: datetime, refusal: str | None) -> dict[str, Any]:
    job = wanted.job
    return {
        "job_id": job.id,
        "version": wanted.version,
        "owner": owner,
        "requested_by": wanted.requested_by,
        "trigger": wanted.trigger,
        "key": wanted.key,
        "slot": wanted.slot,
        "priority": job.priority if wanted.priority is None else wanted.priority,
        "upstream": dict(wanted.upstream),
        "rerun_of": wanted.rerun_of,
        "parameters": dict(wanted.parameters),
        "queued_at": now,
        "state": (RunState.failed if refusal else RunState.queued).value,
        "cause": Cause.refused.value if refusal else None,
        "reason": refusal,
        "ended_at": now if refusal else None,
    }

"""Add a run to the queue, once for whatever it is made for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from perijove.types.jobs import Cause, RunState
from perijove_hub.context import Context
from perijove_hub.jobs import after, quota
from perijove_hub.store import audit
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import JobRow, RunRow

#: Adds a run unless its key is taken; made once, because a thousand may be due at once.
_INSERT = {
    name: insert(RunRow)
    .on_conflict_do_nothing(index_elements=[RunRow.job_id, RunRow.key])
    .returning(RunRow)
    for name, insert in (("sqlite", sqlite.insert), ("postgresql", postgresql.insert))
}


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
    found = enqueue_all(
        session,
        context,
        job,
        version,
        {key: slot},
        parameters=parameters,
        trigger=trigger,
        requested_by=requested_by,
        priority=priority,
        upstream=upstream,
        rerun_of=rerun_of,
    )
    return found[0] if found else None


def enqueue_all(
    session: Session,
    context: Context,
    job: JobRow,
    version: int,
    made_for: Mapping[str | None, datetime | None],
    *,
    parameters: Mapping[str, Any],
    trigger: str,
    requested_by: str,
    priority: int | None = None,
    upstream: Mapping[str, str] | None = None,
    rerun_of: str | None = None,
) -> list[RunRow]:
    """Add several runs that differ only in their keys, with the slot of each, by one statement.

    Returns those that are new, in no order; all else is as with ``enqueue``.
    """
    now = database_now(session)
    values: dict[str, Any] = {
        "job_id": job.id,
        "version": version,
        "owner": job.owner,
        "requested_by": requested_by,
        "trigger": trigger,
        "priority": job.priority if priority is None else priority,
        "upstream": dict(upstream or {}),
        "rerun_of": rerun_of,
        "parameters": dict(parameters),
        "queued_at": now,
    }
    refusal = quota.refusal(session, context.settings, job)
    if refusal:
        failed, refused = RunState.failed.value, Cause.refused.value
        values |= {"state": failed, "cause": refused, "reason": refusal, "ended_at": now}
    # A constraint that is violated would end the transaction on PostgreSQL.
    added = session.scalars(
        _INSERT[session.get_bind().dialect.name],
        [{**values, "key": key, "slot": slot} for key, slot in made_for.items()],
    ).all()
    actor = "scheduler" if trigger in after.AUTOMATIC else requested_by
    for row in added:
        audit.record(session, actor, "run.create", row.id, job=job.id)
        if refusal:
            after.ended(session, row)
    return list(added)

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
    now = database_now(session)
    values: dict[str, Any] = {
        "job_id": job.id,
        "version": version,
        "owner": job.owner,
        "requested_by": requested_by,
        "trigger": trigger,
        "key": key,
        "slot": slot,
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
    make = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    row = session.scalar(
        make(RunRow)
        .values(**values)
        .on_conflict_do_nothing(index_elements=[RunRow.job_id, RunRow.key])
        .returning(RunRow)
    )
    if row is None:
        return None
    actor = "scheduler" if trigger in after.AUTOMATIC else requested_by
    audit.record(session, actor, "run.create", row.id, job=job.id)
    if refusal:
        after.ended(session, row)
    return row

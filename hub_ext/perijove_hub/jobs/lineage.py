"""Job run ↔ datasets ↔ MLflow's runs ↔ model versions ↔ other job runs."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from perijove.types.base import Principal
from perijove.types.jobs import RunState
from perijove.types.lineage import Lineage, RelatedRun
from perijove_hub.access import visible
from perijove_hub.context import Context
from perijove_hub.exceptions import ProblemError
from perijove_hub.experiments.tracking import Tracking
from perijove_hub.jobs.finding import find_run
from perijove_hub.store.models import DatasetRow, JobRow, RunDatasetRow, RunRow, UpstreamRow

#: Most runs that are listed after one.
MOST = 200
_WORD = re.compile(r"\w+")


def read(session: Session, run_id: str, source: str, sql: str) -> None:
    """Note the datasets of ``source`` that a run's statement names.

    A table is named where its name stands as a word, so a name within a text or comment counts
    as well. Where no known table is named, the source is noted.
    """
    if session.get(RunRow, run_id) is None:
        return
    words = {word.casefold() for word in _WORD.findall(sql)}
    known = session.execute(
        select(DatasetRow.name, DatasetRow.table).where(DatasetRow.source == source)
    )
    named = [name for name, table in known if _words(table) <= words]
    _note(session, run_id, named or [source])


async def of_run(context: Context, principal: Principal, token: str, run_id: str) -> Lineage:
    """Return what is known of a run the caller may see. Raises ``NotFound``.

    Runs of jobs that the caller may not see are left out; MLflow is asked as the caller.
    """
    with context.database.reading() as session:
        run, _ = find_run(session, principal, run_id)
        found = Lineage(
            upstream=_runs(session, principal, list(run.upstream.values())),
            downstream=_after(session, principal, run),
            datasets=list(
                session.scalars(
                    select(RunDatasetRow.dataset)
                    .where(RunDatasetRow.run_id == run.id)
                    .order_by(RunDatasetRow.dataset)
                )
            ),
        )
    try:
        async with Tracking(context.topology.mlflow_url, token) as tracking:
            found.tracked = await tracking.tagged("perijove.run", run_id)
            found.models = await tracking.made_models([one.id for one in found.tracked])
    except ProblemError as error:
        found.incomplete = f"{error.detail} {error.fix or ''}".strip()
    return found


def _words(table: str) -> set[str]:
    return {word.casefold() for word in _WORD.findall(table)} or {table}


def _note(session: Session, run_id: str, datasets: Iterable[str]) -> None:
    make = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    for dataset in sorted(datasets):
        session.execute(
            make(RunDatasetRow)
            .values(run_id=run_id, dataset=dataset)
            .on_conflict_do_nothing(index_elements=[RunDatasetRow.run_id, RunDatasetRow.dataset])
        )


def _after(session: Session, principal: Principal, run: RunRow) -> list[RelatedRun]:
    """Return the runs of jobs that follow now, and ran after ``run``."""
    if run.ended_at is None:
        return []
    followers = select(UpstreamRow.job_id).where(UpstreamRow.upstream_id == run.job_id)
    later = (
        select(RunRow.id, RunRow.upstream)
        .where(
            RunRow.job_id.in_(followers),
            RunRow.trigger == "after",
            RunRow.queued_at >= run.ended_at,
        )
        .order_by(RunRow.queued_at)
        .limit(10_000)
    )
    ids = [found for found, upstream in session.execute(later) if run.id in upstream.values()]
    return _runs(session, principal, ids[:MOST])


def _runs(session: Session, principal: Principal, ids: list[str]) -> list[RelatedRun]:
    rows = session.execute(
        select(RunRow, JobRow)
        .join(JobRow, JobRow.id == RunRow.job_id)
        .where(RunRow.id.in_(ids), JobRow.deleted_at.is_(None), visible(principal, JobRow))
        .order_by(RunRow.queued_at, RunRow.id)
    )
    return [
        RelatedRun(
            id=run.id, job_id=job.id, job=job.name, owner=job.owner, state=RunState(run.state)
        )
        for run, job in rows
    ]

"""Job run ↔ datasets ↔ MLflow's runs ↔ model versions ↔ other job runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from sqlalchemy import Select, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from perijove.types.base import Page, Principal
from perijove.types.jobs import RunState
from perijove.types.lineage import Lineage, RelatedRun
from perijove_hub.access import visible
from perijove_hub.api.paging import paginate
from perijove_hub.catalog.datasets import Datasets
from perijove_hub.catalog.query import readable
from perijove_hub.context import Context
from perijove_hub.exceptions import ProblemError
from perijove_hub.experiments.tracking import JOB_RUN, Tracking
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


def looked_at(session: Session, run_id: str, dataset: str) -> None:
    """Note a dataset that a run read by its name, without a statement of its own."""
    if session.get(RunRow, run_id) is not None:
        _note(session, run_id, [dataset])


async def of_run(context: Context, principal: Principal, token: str, run_id: str) -> Lineage:
    """Return what is known of a run the caller may see. Raises ``NotFound``.

    Runs of jobs that the caller may not see are left out; MLflow is asked as the caller.
    """
    with context.database.reading() as session:
        run, _ = find_run(session, principal, run_id)
        names = session.scalars(
            select(RunDatasetRow.dataset)
            .where(RunDatasetRow.run_id == run.id)
            .order_by(RunDatasetRow.dataset)
        )
        found = Lineage(
            upstream=_runs(session, principal, list(run.upstream.values())),
            downstream=_after(session, principal, run),
            datasets=_readable(context, principal, names),
        )
    try:
        async with Tracking(context.topology.mlflow_url, token) as tracking:
            found.tracked = await tracking.tagged(JOB_RUN, run_id)
            found.models = await tracking.made_models([one.id for one in found.tracked])
    except ProblemError as error:
        found.incomplete = f"{error.detail} {error.fix or ''}".strip()
    return found


def readers(
    context: Context, principal: Principal, dataset: str, *, cursor: str | None, limit: int
) -> Page[RelatedRun]:
    """List the runs that read a dataset, newest first: those of jobs the caller may see.

    Raises ``NotFound`` for a dataset the caller may not read.
    """
    with context.database.reading() as session:
        Datasets(session, context.settings.catalog, principal).find(dataset)
        rows, following = paginate(
            session,
            _seen(principal)
            .join(RunDatasetRow, RunDatasetRow.run_id == RunRow.id)
            .where(RunDatasetRow.dataset == dataset),
            by=RunRow.queued_at,
            tie=RunRow.id,
            cursor=cursor,
            limit=limit,
            descending=True,
        )
        return Page[RelatedRun](items=_related(session, rows), next_cursor=following)


async def recorder(
    context: Context, principal: Principal, token: str, tracked_run: str
) -> list[RelatedRun]:
    """Return the run that logged a run of MLflow: none, or one the caller may see.

    Raises ``NotFound`` for a run of MLflow that the caller may not see, and ``Unavailable``.
    """
    async with Tracking(context.topology.mlflow_url, token) as tracking:
        found = await tracking.run(tracked_run)
    return _recorded(context, principal, found.job_run)


async def maker(
    context: Context, principal: Principal, token: str, model: str, version: int
) -> list[RelatedRun]:
    """Return the run that made a version of a model: none, or one the caller may see.

    Raises ``NotFound`` for a version that the caller may not see, and ``Unavailable``.
    """
    async with Tracking(context.topology.mlflow_url, token) as tracking:
        tracked = await tracking.source_run(model, version)
        found = await tracking.run(tracked) if tracked else None
    return _recorded(context, principal, found.job_run if found else None)


def _recorded(context: Context, principal: Principal, run_id: str | None) -> list[RelatedRun]:
    if run_id is None:
        return []
    with context.database.reading() as session:
        return _runs(session, principal, [run_id])


def _readable(context: Context, principal: Principal, names: Iterable[str]) -> list[str]:
    """Leave out datasets of sources the caller may not read."""
    sources = context.settings.catalog.sources
    mine = readable(context.settings.catalog, principal)

    def source(dataset: str) -> str | None:
        # A source's name may hold a point itself, and another's name with a point after it.
        fits = [one for one in sources if dataset == one or dataset.startswith(f"{one}.")]
        return max(fits, key=len, default=None)

    return [name for name in names if source(name) in mine]


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


def _runs(session: Session, principal: Principal, ids: Sequence[str]) -> list[RelatedRun]:
    rows = _seen(principal).where(RunRow.id.in_(ids)).order_by(RunRow.queued_at, RunRow.id)
    return _related(session, session.scalars(rows).all())


def _seen(principal: Principal) -> Select[RunRow]:
    """The runs of jobs that ``principal`` may see."""
    return (
        select(RunRow)
        .join(JobRow, JobRow.id == RunRow.job_id)
        .where(JobRow.deleted_at.is_(None), visible(principal, JobRow))
    )


def _related(session: Session, runs: Sequence[RunRow]) -> list[RelatedRun]:
    ids = {run.job_id for run in runs}
    jobs = {job.id: job for job in session.scalars(select(JobRow).where(JobRow.id.in_(ids)))}
    return [
        RelatedRun(
            id=run.id,
            job_id=run.job_id,
            job=jobs[run.job_id].name,
            owner=jobs[run.job_id].owner,
            state=RunState(run.state),
            queued_at=run.queued_at,
        )
        for run in runs
    ]

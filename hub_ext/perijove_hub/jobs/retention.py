"""Delete what old runs left; the record of each stays. Old messages go whole."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, delete, func, select, update
from sqlalchemy.orm import Session

from perijove.types.jobs import RunState
from perijove_hub.context import Context
from perijove_hub.jobs.notifications import outbox
from perijove_hub.store import loose
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import ArtifactRow, AttemptRow, JobRow, RunRow, UpstreamRow

log = logging.getLogger(__name__)

#: Runs whose outputs are let go of in one transaction; writers wait for it.
BATCH = 100
_ENDED = [state.value for state in RunState if state.terminal]


class RetentionDuty:
    """Lets go of the outputs of runs that their jobs keep no longer, and of old messages.

    The blobs are only noted as loose: ``store.sweep`` removes those that nothing else names.
    """

    name = "retention"
    period = 600.0

    def __init__(self, context: Context) -> None:
        self._context = context

    def tick(self) -> None:
        """Look once at every run that still has its outputs."""
        default = self._context.settings.jobs.keep_days
        days = func.coalesce(JobRow.keep_days, default)
        failed_days = func.coalesce(JobRow.keep_failed_days, JobRow.keep_days, default)
        good = RunRow.state == RunState.succeeded.value
        for kept, whose in ((days, good), (failed_days, ~good)):
            with self._context.database.reading() as session:
                now = database_now(session)
                # Jobs by the thousand have a few different numbers between them.
                found = session.scalars(select(kept).select_from(JobRow).distinct()).all()
            for number in found:
                if number is not None:
                    self._drop(and_(kept == number, whose), now - timedelta(days=number))
        with self._context.database.session() as session:
            outbox.forget(session)

    def _drop(self, which: ColumnElement[bool], before: datetime) -> None:
        last = ""
        while True:
            with self._context.database.session() as session:
                found = session.scalars(
                    select(RunRow.id)
                    .join(JobRow, JobRow.id == RunRow.job_id)
                    .where(
                        which,
                        RunRow.state.in_(_ENDED),
                        RunRow.dropped_at.is_(None),
                        RunRow.ended_at < before,
                        RunRow.id > last,
                    )
                    .order_by(RunRow.id)
                    .limit(BATCH)
                    # Where another worker does the same, each takes other runs.
                    .with_for_update(skip_locked=True, of=RunRow)
                ).all()
                needed = _needed(session) if found else set()
                runs = [run_id for run_id in found if run_id not in needed]
                let_go(session, runs)
            if runs:
                log.info("the outputs of %d old runs were let go of", len(runs))
            if len(found) < BATCH:
                return
            last = found[-1]


def _needed(session: Session) -> set[str]:
    """Return the runs whose artifacts another run gets that has not ended, or is to be made."""
    # In this order: what is no longer noted is by then in the queue.
    noted = set(session.scalars(select(UpstreamRow.run_id).where(UpstreamRow.run_id.is_not(None))))
    followers = select(RunRow.upstream).where(
        RunRow.state.not_in(_ENDED), RunRow.trigger.in_(("after", "rerun"))
    )
    followed = {run_id for upstream in session.scalars(followers) for run_id in upstream.values()}
    return {run_id for run_id in noted if run_id} | followed


def let_go(session: Session, runs: Sequence[str]) -> None:
    """Delete the outputs of runs that have ended; the caller's transaction locks them."""
    if not runs:
        return
    named = {
        address
        for query in (
            select(RunRow.output_sha256, RunRow.log_sha256, RunRow.events_sha256).where(
                RunRow.id.in_(runs)
            ),
            select(AttemptRow.output_sha256, AttemptRow.log_sha256, AttemptRow.events_sha256).where(
                AttemptRow.run_id.in_(runs)
            ),
            select(ArtifactRow.sha256).where(ArtifactRow.run_id.in_(runs)),
        )
        for row in session.execute(query)
        for address in row
        if address is not None
    }
    session.execute(delete(ArtifactRow).where(ArtifactRow.run_id.in_(runs)))
    session.execute(
        update(AttemptRow)
        .where(AttemptRow.run_id.in_(runs))
        .values(output_sha256=None, log_sha256=None, events_sha256=None)
    )
    session.execute(
        update(RunRow)
        .where(RunRow.id.in_(runs))
        .values(
            output_sha256=None,
            log_sha256=None,
            events_sha256=None,
            dropped_at=database_now(session),
        )
    )
    loose.note(session, *named)

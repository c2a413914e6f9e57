"""Begin the trials of each sweep, as many at once as it may have.

A sweep's row is locked while a trial is added, and each run has the key of its trial, so that
none is made twice however many workers there are and wherever one dies.
"""

from __future__ import annotations

import logging
from contextlib import suppress

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from perijove.exceptions import PerijoveError
from perijove.types.sweeps import SweepCreate, SweepState, SweepTrial
from perijove_hub.context import Context
from perijove_hub.jobs import quota
from perijove_hub.jobs.enqueue import enqueue
from perijove_hub.jobs.sweeps import ledger, tracking
from perijove_hub.jobs.sweeps.propose import Trial, propose
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import JobRow, RunRow, SweepRow, TrialRow

log = logging.getLogger(__name__)

_RUNNING = SweepState.running.value


class SweepDuty:
    """Makes the runs of sweeps; ``tick`` may be interrupted anywhere."""

    name = "sweeps"
    period = 1.0

    def __init__(self, context: Context) -> None:
        self._context = context

    def tick(self) -> None:
        """Take every sweep's next steps, then end MLflow's runs of those that are over."""
        running = select(SweepRow.id).where(SweepRow.state == _RUNNING)
        over = select(SweepRow.id).where(SweepRow.tracking_open, SweepRow.state != _RUNNING)
        with self._context.database.reading() as session:
            begun = session.scalars(running.order_by(SweepRow.created_at)).all()
        for sweep_id in begun:
            try:
                self._track(sweep_id)
                # Each trial is chosen by what is known when it begins.
                while self._step(sweep_id):
                    pass
            except Exception:
                log.exception("sweep %s: could not go on now", sweep_id)
        with self._context.database.reading() as session:
            ended = session.scalars(over).all()
        for sweep_id in ended:
            self._untrack(sweep_id)

    def _track(self, sweep_id: str) -> None:
        """Make MLflow's run above the sweep's, once, and no longer than MLflow's patience."""
        with self._context.database.reading() as session:
            row = session.get_one(SweepRow, sweep_id)
            job = session.get_one(JobRow, row.job_id)
        if row.tracking_run_id or row.tracking_note or row.state != _RUNNING:
            return
        run_id, note = tracking.begin(self._context, row, job, ledger.asked(row))
        none = update(SweepRow).where(SweepRow.id == sweep_id, SweepRow.tracking_run_id.is_(None))
        found = {"tracking_run_id": run_id, "tracking_open": True, "tracking_note": None}
        with self._context.database.session() as session:
            session.execute(none.values(found if run_id else {"tracking_note": note}))
            kept = session.scalar(select(SweepRow.tracking_run_id).where(SweepRow.id == sweep_id))
        if run_id and kept != run_id:
            with suppress(PerijoveError):
                tracking.discard(self._context, row, job, run_id)

    def _step(self, sweep_id: str) -> bool:
        """Begin one trial, or end the sweep; false when there is nothing to do now."""
        # Chosen before anything is locked: Optuna may take a second.
        with self._context.database.reading() as session:
            row = session.get_one(SweepRow, sweep_id)
            asked = ledger.asked(row)
            earlier = ledger.trials(session, row)
        wanted = None
        if _room(row, asked, earlier):
            wanted = propose(asked, [_known(one) for one in earlier])
        with self._context.database.session() as session:
            locked = session.scalar(
                select(SweepRow)
                .where(SweepRow.id == sweep_id, SweepRow.state == _RUNNING)
                .with_for_update(skip_locked=True)
            )
            if locked is None:
                return False
            now = ledger.trials(session, locked)
            # Nobody deletes the job before this run is there to be cancelled with it.
            job = session.get_one(JobRow, locked.job_id, with_for_update={"read": True})
            if job.deleted_at is not None:
                ledger.cancel(session, locked, "The job was deleted.")
            elif _over(locked, asked, now):
                _end(session, locked, asked, now)
            elif wanted is None or len(now) != len(earlier) or not _room(locked, asked, now):
                return False
            else:
                return self._begin(session, locked, asked, job=job, wanted=wanted, at=len(now))
        return False

    def _begin(
        self,
        session: Session,
        row: SweepRow,
        asked: SweepCreate,
        *,
        job: JobRow,
        wanted: dict[str, object],
        at: int,
    ) -> bool:
        if refusal := quota.refusal(session, self._context.settings, job):
            # Failed runs would help nobody: it goes on when there is room again.
            row.reason = f"Waiting: {refusal}"
            return False
        row.reason = None
        key = f"sweep:{row.id}:{at}"
        run = enqueue(
            session,
            self._context,
            job,
            row.version,
            parameters={**asked.parameters, **wanted},
            trigger="sweep",
            requested_by=row.requested_by,
            key=key,
            priority=asked.priority,
        )
        if run is None:
            run = session.scalars(
                select(RunRow).where(RunRow.job_id == job.id, RunRow.key == key)
            ).one()
        run.tracking_parent = row.tracking_run_id
        session.add(TrialRow(sweep_id=row.id, number=at, parameters=wanted, run_id=run.id))
        return True

    def _untrack(self, sweep_id: str) -> None:
        """End MLflow's run; without an answer it is left as it is, and the sweep says so."""
        with self._context.database.reading() as session:
            row = session.get_one(SweepRow, sweep_id)
            job = session.get_one(JobRow, row.job_id)
            best = ledger.best(ledger.trials(session, row), ledger.asked(row).goal)
        note = None
        try:
            tracking.end(self._context, row, job, best)
        except PerijoveError as error:
            note = f"{error} So MLflow still shows the sweep's run as running."
        with self._context.database.session() as session:
            session.execute(
                update(SweepRow)
                .where(SweepRow.id == sweep_id)
                .values(tracking_open=False, tracking_note=note)
            )


def _known(trial: SweepTrial) -> Trial:
    return Trial(
        trial.parameters,
        under_way=trial.state in ledger.ACTIVE,
        value=trial.value if trial.state == "succeeded" else None,
    )


def _active(found: list[SweepTrial]) -> int:
    return sum(one.state in ledger.ACTIVE for one in found)


def _failures(found: list[SweepTrial]) -> int:
    return sum(one.state in ledger.FAILED for one in found)


def _given_up(asked: SweepCreate, found: list[SweepTrial]) -> bool:
    return asked.max_failures is not None and _failures(found) >= asked.max_failures


def _room(row: SweepRow, asked: SweepCreate, found: list[SweepTrial]) -> bool:
    return (
        len(found) < row.trials
        and _active(found) < asked.concurrency
        and not _given_up(asked, found)
    )


def _over(row: SweepRow, asked: SweepCreate, found: list[SweepTrial]) -> bool:
    return not _active(found) and (len(found) >= row.trials or _given_up(asked, found))


def _end(session: Session, row: SweepRow, asked: SweepCreate, found: list[SweepTrial]) -> None:
    row.state, row.reason = SweepState.ended.value, None
    row.ended_at = database_now(session)
    if len(found) < row.trials:
        row.state = SweepState.stopped.value
        row.reason = (
            f"{_failures(found)} trials failed, and it was to stop at {asked.max_failures}."
        )

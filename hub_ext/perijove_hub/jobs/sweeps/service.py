"""Sweeps: start, list, watch, cancel."""

from __future__ import annotations

import json
import re

from sqlalchemy import select
from sqlalchemy.orm import Session

from perijove.types.base import Page, Principal
from perijove.types.jobs import Follow
from perijove.types.sweeps import Sweep, SweepCreate, SweepState, SweepTrial
from perijove_hub.api.paging import paginate
from perijove_hub.context import Context
from perijove_hub.jobs import image, versions, wire
from perijove_hub.jobs.many import found, made_once, to_cancel
from perijove_hub.jobs.service import find
from perijove_hub.jobs.sweeps import ledger, space
from perijove_hub.secrets import values as secrets
from perijove_hub.store import audit
from perijove_hub.store.models import JobRow, JobVersionRow, SweepRow, TrialRow

_EXPERIMENT = re.compile(
    r"^[ \t]*(?:%%experiment[ \t]+([^-\s]\S*)|mlflow\.set_experiment\(\s*[\"']([^\"'\n]+)[\"'])",
    re.M,
)


class SweepService:
    """What may be done with sweeps, checked against the caller's rights to the job."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def create(
        self, principal: Principal, job_id: str, body: SweepCreate, *, key: str | None
    ) -> Sweep:
        """Start a sweep; the worker makes its runs, no more at once than ``concurrency``.

        Raises ``Invalid`` for anything wrong in ``body``, and for an image that does not start.
        """
        made = made_once(
            self._context,
            principal,
            job_id,
            body,
            key=key,
            make=lambda session, job: self._make(session, principal, job, body),
        )
        return self.get(principal, made)

    def list(
        self, principal: Principal, job_id: str, *, cursor: str | None, limit: int
    ) -> Page[Sweep]:
        """List a job's sweeps, newest first."""
        with self._context.database.reading() as session:
            job = find(session, principal, job_id)
            rows, following = paginate(
                session,
                select(SweepRow).where(SweepRow.job_id == job.id),
                by=SweepRow.created_at,
                tie=SweepRow.id,
                cursor=cursor,
                limit=limit,
                descending=True,
            )
            items = [_told(session, row, job) for row in rows]
            return Page[Sweep](items=items, next_cursor=following)

    def get(self, principal: Principal, sweep_id: str) -> Sweep:
        """Return one sweep."""
        with self._context.database.reading() as session:
            return _told(session, *found(session, principal, SweepRow, sweep_id))

    def trials(
        self, principal: Principal, sweep_id: str, *, cursor: str | None, limit: int
    ) -> Page[SweepTrial]:
        """List a sweep's trials in the order they were begun."""
        with self._context.database.reading() as session:
            row, _ = found(session, principal, SweepRow, sweep_id)
            rows, following = paginate(
                session,
                select(TrialRow).where(TrialRow.sweep_id == row.id),
                by=TrialRow.number,
                tie=TrialRow.sweep_id,
                cursor=cursor,
                limit=limit,
            )
            numbers = [one.number for one in rows]
            told = ledger.of_sweep(row).where(TrialRow.number.in_(numbers))
            metric = ledger.asked(row).metric
            items = [ledger.trial(one, metric) for one in session.execute(told)]
            return Page[SweepTrial](items=items, next_cursor=following)

    def cancel(self, principal: Principal, sweep_id: str) -> Sweep:
        """Cancel a sweep and its runs; one that is over stays as it is."""
        with self._context.database.session() as session:
            row, job = to_cancel(session, principal, SweepRow, sweep_id)
            if row.state == SweepState.running.value:
                ledger.cancel(session, row, f"Cancelled by {principal.name}.")
                audit.record(session, principal, "sweep.cancel", row.id)
            session.flush()
            return _told(session, row, job)

    def _make(
        self, session: Session, principal: Principal, job: JobRow, body: SweepCreate
    ) -> SweepRow:
        version = versions.followed(session, job.id, version=body.version, follow=Follow.latest)
        declared = wire.parameters(version)
        checked = space.check(body, declared)
        secrets.check(session, version.created_by, secrets.named(declared, checked.parameters))
        image.startable(session, self._context, job, version)
        experiment = body.experiment or self._experiment(version) or job.name
        spec = checked.model_copy(update={"experiment": experiment})
        row = SweepRow(
            job_id=job.id,
            version=version.version,
            requested_by=principal.name,
            spec=spec.model_dump(mode="json"),
            trials=spec.trials or 0,
        )
        session.add(row)
        session.flush()
        audit.record(session, principal, "sweep.create", row.id, job=job.id, trials=row.trials)
        return row

    def _experiment(self, version: JobVersionRow) -> str | None:
        """Return the first experiment that the notebook tracks, as far as its text says so."""
        notebook = json.loads(self._context.blobs.get(version.notebook_sha256))
        for cell in notebook.get("cells", []):
            source = cell.get("source", "")
            text = source if isinstance(source, str) else "".join(source)
            if found := _EXPERIMENT.search(text):
                return (found[1] or found[2]).strip("'\"")[:250] or None
        return None


def _told(session: Session, row: SweepRow, job: JobRow) -> Sweep:
    return ledger.wire(row, job.name, ledger.trials(session, row))

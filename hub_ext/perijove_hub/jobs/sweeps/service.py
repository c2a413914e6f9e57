"""Sweeps: start, list, watch, cancel."""

from __future__ import annotations

import json
import re

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from perijove.types.base import Page, Principal
from perijove.types.jobs import Follow
from perijove.types.sweeps import Sweep, SweepCreate, SweepState, SweepTrial
from perijove_hub.access import may_change
from perijove_hub.api.paging import paginate
from perijove_hub.context import Context
from perijove_hub.exceptions import NotFound, Refused
from perijove_hub.jobs import image, versions, wire
from perijove_hub.jobs.finding import may_run
from perijove_hub.jobs.service import find
from perijove_hub.jobs.sweeps import ledger, space
from perijove_hub.secrets import values as secrets
from perijove_hub.store import audit, idempotency
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
        try:
            return self._create(principal, job_id, body, key=key)
        except IntegrityError:
            # The same key at the same moment: now it is there to be found.
            return self._create(principal, job_id, body, key=key)

    def list(
        self, principal: Principal, job_id: str, *, cursor: str | None, limit: int
    ) -> Page[Sweep]:
        """List a job's sweeps, newest first."""
        with self._context.database.reading() as session:
            job = find(session, principal, job_id)
            found, following = paginate(
                session,
                select(SweepRow).where(SweepRow.job_id == job.id),
                by=SweepRow.created_at,
                tie=SweepRow.id,
                cursor=cursor,
                limit=limit,
                descending=True,
            )
            items = [_told(session, row, job) for row in found]
            return Page[Sweep](items=items, next_cursor=following)

    def get(self, principal: Principal, sweep_id: str) -> Sweep:
        """Return one sweep."""
        with self._context.database.reading() as session:
            return _told(session, *_find(session, principal, sweep_id))

    def trials(
        self, principal: Principal, sweep_id: str, *, cursor: str | None, limit: int
    ) -> Page[SweepTrial]:
        """List a sweep's trials in the order they were begun."""
        with self._context.database.reading() as session:
            row, _ = _find(session, principal, sweep_id)
            found, following = paginate(
                session,
                select(TrialRow).where(TrialRow.sweep_id == row.id),
                by=TrialRow.number,
                tie=TrialRow.sweep_id,
                cursor=cursor,
                limit=limit,
            )
            numbers = [one.number for one in found]
            rows = ledger.of_sweep(row).where(TrialRow.number.in_(numbers))
            metric = ledger.asked(row).metric
            items = [ledger.trial(one, metric) for one in session.execute(rows)]
            return Page[SweepTrial](items=items, next_cursor=following)

    def cancel(self, principal: Principal, sweep_id: str) -> Sweep:
        """Cancel a sweep and its runs; one that is over stays as it is."""
        with self._context.database.session() as session:
            row, job = _find(session, principal, sweep_id)
            if not may_change(principal, job):
                raise Refused(f"Only {job.owner} may cancel sweeps of '{job.name}'.")
            # The worker makes runs under the same lock.
            session.refresh(row, with_for_update=True)
            if row.state == SweepState.running.value:
                ledger.cancel(session, row, f"Cancelled by {principal.name}.")
                audit.record(session, principal, "sweep.cancel", row.id)
            session.flush()
            return _told(session, row, job)

    def _create(
        self, principal: Principal, job_id: str, body: SweepCreate, *, key: str | None
    ) -> Sweep:
        with self._context.database.session() as session:
            job = find(session, principal, job_id)
            may_run(principal, job)
            done = idempotency.earlier(
                session, user=principal.name, key=key, body=body, within=job.id
            )
            if done is not None:
                return _told(session, *_find(session, principal, done))
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
            idempotency.remember(
                session,
                user=principal.name,
                key=key,
                body=body,
                object_id=row.id,
                within=job.id,
            )
            session.flush()
            return _told(session, row, job)

    def _experiment(self, version: JobVersionRow) -> str | None:
        """Return the first experiment that the notebook tracks, as far as its text says so."""
        notebook = json.loads(self._context.blobs.get(version.notebook_sha256))
        for cell in notebook.get("cells", []):
            source = cell.get("source", "")
            text = source if isinstance(source, str) else "".join(source)
            if found := _EXPERIMENT.search(text):
                return (found[1] or found[2]).strip("'\"")[:250] or None
        return None


def _find(session: Session, principal: Principal, sweep_id: str) -> tuple[SweepRow, JobRow]:
    """Return a sweep of a job the caller may see; raises ``NotFound``."""
    row = session.get(SweepRow, sweep_id)
    nothing = NotFound("There is no such sweep.", fix="List the sweeps of the job.")
    if row is None:
        raise nothing
    try:
        return row, find(session, principal, row.job_id)
    except NotFound:
        raise nothing from None


def _told(session: Session, row: SweepRow, job: JobRow) -> Sweep:
    return ledger.wire(row, job.name, ledger.trials(session, row))

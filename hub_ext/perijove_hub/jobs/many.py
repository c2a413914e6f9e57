"""What backfills and sweeps have in common: how they are found, made once and cancelled."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from perijove.types.backfills import BackfillCreate
from perijove.types.base import Principal
from perijove.types.sweeps import SweepCreate
from perijove_hub.access import may_change
from perijove_hub.context import Context
from perijove_hub.exceptions import NotFound
from perijove_hub.jobs.finding import may_run, only_its_owner
from perijove_hub.jobs.service import find
from perijove_hub.store import idempotency
from perijove_hub.store.models import BackfillRow, JobRow, SweepRow

Row = TypeVar("Row", BackfillRow, SweepRow)

_NOUNS = {BackfillRow: "backfill", SweepRow: "sweep"}


def found(
    session: Session, principal: Principal, kind: type[Row], row_id: str
) -> tuple[Row, JobRow]:
    """Return one of a job that the caller may see; raises ``NotFound``."""
    noun = _NOUNS[kind]
    row = session.get(kind, row_id)
    nothing = NotFound(f"There is no such {noun}.", fix=f"List the {noun}s of the job.")
    if row is None:
        raise nothing
    try:
        return row, find(session, principal, row.job_id)
    except NotFound:
        raise nothing from None


def made_once(
    context: Context,
    principal: Principal,
    job_id: str,
    body: BackfillCreate | SweepCreate,
    *,
    key: str | None,
    make: Callable[[Session, JobRow], BackfillRow | SweepRow],
) -> str:
    """Return the id of what ``make`` adds and flushes, or of what the same key made before.

    Raises ``Refused`` for someone who may not run the job, and what ``make`` raises.
    """

    def attempt() -> str:
        with context.database.session() as session:
            job = find(session, principal, job_id)
            may_run(principal, job)
            user = principal.name
            if done := idempotency.earlier(session, user=user, key=key, body=body, within=job.id):
                return done
            made = make(session, job).id
            idempotency.remember(
                session, user=user, key=key, body=body, object_id=made, within=job.id
            )
            return made

    try:
        return attempt()
    except IntegrityError:
        # The same key at the same moment: now it is there to be found.
        return attempt()


def to_cancel(
    session: Session, principal: Principal, kind: type[Row], row_id: str
) -> tuple[Row, JobRow]:
    """Return one that the caller may cancel, locked; raises ``NotFound`` or ``Refused``."""
    row, job = found(session, principal, kind, row_id)
    if not may_change(principal, job):
        raise only_its_owner(job, f"cancel {_NOUNS[kind]}s of '{job.name}'")
    # The worker makes runs under the same lock.
    session.refresh(row, with_for_update=True)
    return row, job

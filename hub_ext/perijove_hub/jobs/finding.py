"""Find a run that the caller may see."""

from __future__ import annotations

from sqlalchemy.orm import Session

from perijove.types.base import Principal
from perijove_hub.access import may_change
from perijove_hub.exceptions import NotFound, Refused
from perijove_hub.jobs.service import find
from perijove_hub.store.models import JobRow, RunRow


def find_run(session: Session, principal: Principal, run_id: str) -> tuple[RunRow, JobRow]:
    """Return a run of a job the caller may see; raises ``NotFound``."""
    row = session.get(RunRow, run_id)
    if row is None:
        raise NotFound("There is no such run.", fix="List the runs of the job.")
    try:
        return row, find(session, principal, row.job_id)
    except NotFound:
        raise NotFound("There is no such run.", fix="List the runs of the job.") from None


def may_run(principal: Principal, job: JobRow) -> None:
    """Raise ``Refused`` for someone who only sees a job: its runs act with its owner's rights."""
    if not may_change(principal, job):
        raise only_its_owner(
            job,
            f"run '{job.name}': its runs act as its owner",
            fix="Promote a copy of the notebook to a job of your own.",
        )


def only_its_owner(job: JobRow, what: str, *, fix: str | None = None) -> Refused:
    """Make the refusal of someone who sees ``job`` and may not change it, and so not ``what``."""
    # No group owns it: nobody else would see it then, and all of them might change it.
    return Refused(f"Only {job.owner} may {what}.", fix=fix or f"Ask {job.owner}.")

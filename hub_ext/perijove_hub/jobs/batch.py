"""Schedules that are served in one transaction: what they need is read, and made, at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from perijove.types.jobs import Follow
from perijove_hub.context import Context
from perijove_hub.jobs import overlap, versions
from perijove_hub.jobs.enqueue import Wanted, enqueue_all
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import JobRow, JobVersionRow, ScheduleRow


class Batch:
    """Locked schedules, and the runs that they are to have. A thousand may be due at once."""

    def __init__(self, session: Session, context: Context, job_ids: Sequence[str]) -> None:
        self.session = session
        self._context = context
        # Passing over those that another scheduler serves.
        self.rows = session.scalars(
            select(ScheduleRow)
            .where(ScheduleRow.job_id.in_(job_ids))
            .order_by(ScheduleRow.job_id)
            .with_for_update(skip_locked=True)
        ).all()
        self.now = database_now(session)
        found = session.scalars(select(JobRow).where(JobRow.id.in_(job_ids)))
        self._jobs = {job.id: job for job in found}
        newest = (
            select(JobVersionRow.job_id, func.max(JobVersionRow.version))
            .where(JobVersionRow.job_id.in_(job_ids))
            .group_by(JobVersionRow.job_id)
        )
        self._newest = {job_id: int(last) for job_id, last in session.execute(newest)}
        self._active = overlap.active(session, job_ids)
        self._wanted: list[Wanted] = []

    def version(self, row: ScheduleRow) -> int:
        """Return the version that a schedule runs now; raises ``Invalid`` when there is none."""
        if row.version is None and row.follow == Follow.latest:
            return self._newest[row.job_id]
        found = versions.followed(self.session, row.job_id, version=row.version, follow=row.follow)
        return found.version

    def room(self, row: ScheduleRow) -> bool:
        """Tell whether a run of the schedule is in no other's way."""
        most = overlap.MOST.get(row.overlap)
        return most is None or self._active.get(row.job_id, 0) < most

    def make_way(self, row: ScheduleRow) -> None:
        """Cancel the runs of a schedule that are not over."""
        self.write()
        overlap.make_way(self.session, row.job_id)
        self._active[row.job_id] = 0

    def add(
        self,
        row: ScheduleRow,
        version: int,
        trigger: str,
        key: str,
        *,
        slot: datetime | None,
        upstream: Mapping[str, str],
    ) -> None:
        """Add a run of the schedule, to be written with the others."""
        job = self._jobs[row.job_id]
        self._active[job.id] = self._active.get(job.id, 0) + 1
        self._wanted.append(
            Wanted(
                job=job,
                version=version,
                parameters=row.parameters,
                trigger=trigger,
                requested_by=job.owner,
                key=key,
                slot=slot,
                upstream=upstream,
            )
        )

    def write(self) -> None:
        """Write the runs that were added; those that were made before are left as they are."""
        if self._wanted:
            enqueue_all(self.session, self._context, self._wanted)
        self._wanted = []

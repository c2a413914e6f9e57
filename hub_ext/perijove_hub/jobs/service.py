"""Jobs: promote, list, change, delete."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sqlalchemy import Select, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import InstrumentedAttribute, Session

from perijove.types.base import Page, Principal, Visibility
from perijove.types.jobs import (
    Inspection,
    Job,
    JobCreate,
    JobUpdate,
    JobVersion,
    Policy,
    Resources,
    RunState,
)
from perijove_hub.access import may_change, may_see, sharing, visible
from perijove_hub.api.paging import contains, paginate
from perijove_hub.context import Context
from perijove_hub.exceptions import Invalid, NotFound, Refused
from perijove_hub.images import service as images
from perijove_hub.jobs import limits, schedules, snapshot, wire
from perijove_hub.store import audit, idempotency
from perijove_hub.store.models import (
    ImageVersionRow,
    JobRow,
    JobVersionRow,
    RunRow,
    utcnow,
)


class JobSort(StrEnum):
    """Orders of the list of jobs; a minus sorts downwards."""

    name = "name"
    name_down = "-name"
    created = "created_at"
    created_down = "-created_at"
    updated = "updated_at"
    updated_down = "-updated_at"


_COLUMNS: dict[str, InstrumentedAttribute[Any]] = {
    "name": JobRow.name,
    "created_at": JobRow.created_at,
    "updated_at": JobRow.updated_at,
}


def find(session: Session, principal: Principal, job_id: str) -> JobRow:
    """Return a job the caller may see; raises ``NotFound`` as if there were no other."""
    row = session.get(JobRow, job_id)
    if row is None or row.deleted_at is not None or not may_see(principal, row):
        raise NotFound("There is no such job.", fix="List the jobs you may see.")
    return row


def find_to_change(session: Session, principal: Principal, job_id: str) -> JobRow:
    """Return a job the caller may change; raises ``NotFound`` or ``Refused``."""
    row = find(session, principal, job_id)
    if not may_change(principal, row):
        raise Refused(
            f"'{row.name}' is {row.owner}'s job.",
            fix="Promote a copy of the notebook to a job of your own, or ask its owner.",
        )
    return row


class JobService:
    """What may be done with jobs, checked against the caller's rights."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def inspect(self, notebook: dict[str, Any]) -> Inspection:
        """Read a notebook's parameters; raises ``Invalid``."""
        return snapshot.read_parameters(notebook)

    def promote(
        self, principal: Principal, body: JobCreate, *, key: str | None
    ) -> tuple[Job, bool]:
        """Return the job, and whether it is a new one.

        Raises ``Invalid`` for anything wrong in ``body``; nothing was changed then.
        """
        taken = snapshot.take(body.notebook)
        limits.check(self._context.settings.jobs, body.resources)
        _check_path(body.path)
        # Before the rows that name it: a blob without a row is harmless, the reverse is not.
        address = self._context.blobs.put(taken.content)
        try:
            return self._promote(principal, body, taken.inspection, address=address, key=key)
        except IntegrityError:
            # The same name or key was used at the same moment: now it is there to be found.
            return self._promote(principal, body, taken.inspection, address=address, key=key)

    def list(
        self,
        principal: Principal,
        *,
        q: str | None,
        name: str | None,
        owner: str | None,
        state: RunState | None,
        sort: JobSort,
        cursor: str | None,
        limit: int,
    ) -> Page[Job]:
        """List the jobs the caller may see."""
        rows = select(JobRow).where(visible(principal, JobRow), JobRow.deleted_at.is_(None))
        if q:
            rows = rows.where(JobRow.name.ilike(contains(q.strip()), escape="\\"))
        if name is not None:
            rows = rows.where(JobRow.name == name)
        if owner is not None:
            rows = rows.where(JobRow.owner == owner)
        if state is not None:
            rows = _in_state(rows, state)
        with self._context.database.reading() as session:
            found, following = paginate(
                session,
                rows,
                by=_COLUMNS[sort.removeprefix("-")],
                tie=JobRow.id,
                cursor=cursor,
                limit=limit,
                descending=sort.startswith("-"),
            )
            return Page[Job](items=wire.jobs(session, found), next_cursor=following)

    def get(self, principal: Principal, job_id: str) -> Job:
        """Return one job."""
        with self._context.database.reading() as session:
            return wire.job(session, find(session, principal, job_id))

    def update(self, principal: Principal, job_id: str, body: JobUpdate) -> Job:
        """Change a job; raises ``Invalid`` for anything wrong in ``body``."""
        if body.schedule is not None and body.unschedule:
            raise Invalid(
                "A schedule cannot be set and removed at once.",
                field="unschedule",
                fix="Send one of 'schedule' and 'unschedule'.",
            )
        with self._context.database.session() as session:
            row = find_to_change(session, principal, job_id)
            if body.resources is not None:
                limits.check(self._context.settings.jobs, body.resources)
                _limit(row, body.resources)
            if body.policy is not None:
                _govern(row, body.policy)
            _share(principal, row, body.visibility, group=body.group)
            if body.schedule is not None:
                schedules.put(session, self._context, principal, row, body.schedule)
            elif body.unschedule:
                schedules.remove(session, row.id)
            row.updated_at = utcnow()
            changed = sorted(body.model_fields_set)
            audit.record(session, principal, "job.update", row.id, changed=changed)
            session.flush()
            return wire.job(session, row)

    def delete(self, principal: Principal, job_id: str) -> None:
        """Delete a job: its name is free again, its active runs are cancelled."""
        with self._context.database.session() as session:
            row = find_to_change(session, principal, job_id)
            now = utcnow()
            audit.record(session, principal, "job.delete", row.id, name=row.name)
            row.deleted_at = now
            # '~' is in no job's name; the id makes room for the next one to be deleted.
            row.name = f"{row.name}~{row.id}"
            schedules.remove(session, row.id)
            reason = f"The job was deleted by {principal.name}."
            active = update(RunRow).where(RunRow.job_id == row.id)
            session.execute(
                active.where(RunRow.state == RunState.queued.value).values(
                    state=RunState.cancelled.value, reason=reason, ended_at=now
                )
            )
            session.execute(
                active.where(RunRow.state == RunState.running.value).values(
                    cancel_requested=True, reason=reason
                )
            )

    def versions(
        self, principal: Principal, job_id: str, *, cursor: str | None, limit: int
    ) -> Page[JobVersion]:
        """List a job's snapshots, newest first."""
        with self._context.database.reading() as session:
            row = find(session, principal, job_id)
            found, following = paginate(
                session,
                select(JobVersionRow).where(JobVersionRow.job_id == row.id),
                by=JobVersionRow.version,
                tie=JobVersionRow.job_id,
                cursor=cursor,
                limit=limit,
                descending=True,
            )
            items = [wire.version(one) for one in found]
            return Page[JobVersion](items=items, next_cursor=following)

    def _promote(
        self,
        principal: Principal,
        body: JobCreate,
        inspection: Inspection,
        *,
        address: str,
        key: str | None,
    ) -> tuple[Job, bool]:
        with self._context.database.session() as session:
            done = idempotency.earlier(session, user=principal.name, key=key, body=body)
            if done is not None:
                return wire.job(session, find(session, principal, done)), False
            row = session.scalar(
                select(JobRow).where(JobRow.owner == principal.name, JobRow.name == body.name)
            )
            created = row is None
            if row is None:
                row = JobRow(owner=principal.name, name=body.name)
                session.add(row)
            _share(principal, row, body.visibility, group=body.group)
            # What a promotion leaves open stays as it was.
            asked = body.resources.model_dump(exclude_none=True)
            _limit(row, wire.resources(row).model_copy(update=asked))
            _govern(row, body.policy or (Policy() if created else wire.policy(row)))
            row.updated_at = utcnow()
            session.flush()
            image = None
            if body.image is not None:
                image = images.startable(session, principal, body.image, self._context.settings)
            number = _add_version(
                session,
                row,
                address,
                body=body,
                inspection=inspection,
                image=image,
                by=principal,
            )
            if body.schedule is not None:
                schedules.put(session, self._context, principal, row, body.schedule)
            else:
                schedules.fits(session, row)
            audit.record(session, principal, "job.promote", row.id, name=row.name, version=number)
            idempotency.remember(session, user=principal.name, key=key, body=body, object_id=row.id)
            session.flush()
            return wire.job(session, row), created


def _add_version(
    session: Session,
    row: JobRow,
    address: str,
    *,
    body: JobCreate,
    inspection: Inspection,
    image: ImageVersionRow | None,
    by: Principal,
) -> int:
    """Add a version unless the newest is the same notebook in the same image.

    Returns the newest's number.
    """
    digest = image.digest if image else None
    newest = session.scalar(
        select(JobVersionRow)
        .where(JobVersionRow.job_id == row.id)
        .order_by(JobVersionRow.version.desc())
        .limit(1)
    )
    same = newest is not None and (newest.notebook_sha256, newest.image_digest) == (address, digest)
    if newest is not None and same:
        return newest.version
    number = newest.version + 1 if newest else 1
    session.add(
        JobVersionRow(
            job_id=row.id,
            version=number,
            notebook_sha256=address,
            parameters=[one.model_dump(mode="json") for one in inspection.parameters],
            path=body.path,
            image=images.reference(session, image) if image else None,
            image_digest=digest,
            created_by=by.name,
        )
    )
    session.flush()
    return number


def _limit(row: JobRow, wanted: Resources) -> None:
    for name, value in wanted.model_dump().items():
        setattr(row, name, value)


def _govern(row: JobRow, wanted: Policy) -> None:
    for name, value in wanted.model_dump().items():
        setattr(row, name, value)


def _share(
    principal: Principal, row: JobRow, visibility: Visibility | None, *, group: str | None
) -> None:
    """Change who may see ``row``; nulls leave it as it is, or private when it is new."""
    if visibility is None and group is None:
        row.visibility = row.visibility or Visibility.private.value
        return
    row.visibility, row.group = sharing(principal, visibility or Visibility.group, group)


def _in_state(rows: Select[JobRow], state: RunState) -> Select[JobRow]:
    last = (
        select(RunRow.state)
        .where(RunRow.job_id == JobRow.id)
        .order_by(RunRow.queued_at.desc(), RunRow.id.desc())
        .limit(1)
        .correlate(JobRow)
        .scalar_subquery()
    )
    return rows.where(last == state.value)


def _check_path(path: str) -> None:
    if not path.isprintable():
        raise Invalid(
            "The path holds characters that cannot be shown.",
            field="path",
            fix="Rename the file, or leave the path out.",
        )

"""Jobs: promote, list, change, delete."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from sqlalchemy import Select, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import InstrumentedAttribute, Session

from perijove.types.base import Page, Principal, Visibility
from perijove.types.jobs import (
    Cause,
    Input,
    Inspection,
    Job,
    JobCreate,
    JobUpdate,
    Policy,
    RunState,
)
from perijove_hub.access import may_change, may_see, sharing, visible
from perijove_hub.api.paging import contains, paginate
from perijove_hub.context import Context
from perijove_hub.exceptions import Conflict, Invalid, NotFound, Refused
from perijove_hub.images import service as images
from perijove_hub.jobs import after, inputs, limits, schedules, snapshot, versions, wire
from perijove_hub.store import audit, idempotency
from perijove_hub.store.models import (
    JobRow,
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
            f"'{row.name}' is {row.owner_group or row.owner}'s job.",
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
        settings = self._context.settings.jobs
        limits.check(settings, body.resources)
        _check_path(body.path)
        files = inputs.checked(body.inputs, most_mb=settings.inputs_mb)
        # Before the rows that name them: a blob without a row is harmless, the reverse is not.
        put = self._context.blobs.put
        content = versions.Content(
            notebook_sha256=put(taken.content),
            inputs=[
                Input(path=path, sha256=put(held), bytes=len(held)) for path, held in files.items()
            ],
            parameters=[one.model_dump(mode="json") for one in taken.inspection.parameters],
        )
        try:
            return self._promote(principal, body, content, key=key)
        except IntegrityError:
            # The same name or key was used at the same moment: now it is there to be found.
            return self._promote(principal, body, content, key=key)

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
            return Page[Job](
                items=wire.jobs(session, found, reader=principal), next_cursor=following
            )

    def get(self, principal: Principal, job_id: str) -> Job:
        """Return one job."""
        with self._context.database.reading() as session:
            return wire.job(session, find(session, principal, job_id), reader=principal)

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
            # One change after the other, so that each sees what the one before left.
            session.refresh(row, with_for_update={"key_share": True})
            # Who was waited for may have deleted it, or taken it from the caller's group.
            row = find_to_change(session, principal, job_id)
            if body.resources is not None:
                limits.check(self._context.settings.jobs, body.resources)
                _set(row, body.resources.model_dump(exclude_unset=True))
            if body.policy is not None:
                _set(row, body.policy.model_dump(exclude_unset=True))
            _share(session, principal, row, body)
            if body.schedule is not None:
                wanted = schedules.changed(session, row, body.schedule, seen=body.seen)
                schedules.put(session, self._context, principal, row, wanted)
            elif body.unschedule:
                schedules.remove(session, row.id)
            row.updated_at = utcnow()
            changed = sorted(body.model_fields_set)
            audit.record(session, principal, "job.update", row.id, changed=changed)
            session.flush()
            return wire.job(session, row, reader=principal)

    def delete(self, principal: Principal, job_id: str) -> None:
        """Delete a job: its name is free again, its active runs are cancelled."""
        with self._context.database.session() as session:
            row = find_to_change(session, principal, job_id)
            now = utcnow()
            audit.record(session, principal, "job.delete", row.id, name=row.name)
            schedules.leave(session, row)
            row.deleted_at = now
            # '~' is in no job's name; the id makes room for the next one to be deleted.
            row.name = f"{row.name}~{row.id}"
            schedules.remove(session, row.id)
            reason = f"The job was deleted by {principal.name}."
            active = update(RunRow).where(RunRow.job_id == row.id)
            # Conditional, because a worker may take one at this moment.
            cancelled = session.scalars(
                active.where(RunRow.state == RunState.queued.value)
                .values(
                    state=RunState.cancelled.value,
                    cause=Cause.cancelled.value,
                    reason=reason,
                    ended_at=now,
                )
                .returning(RunRow)
            ).all()
            session.execute(
                active.where(RunRow.state == RunState.running.value).values(
                    cancel_requested=True, reason=reason
                )
            )
            for run in cancelled:
                after.ended(session, run)

    def _promote(
        self,
        principal: Principal,
        body: JobCreate,
        content: versions.Content,
        *,
        key: str | None,
    ) -> tuple[Job, bool]:
        with self._context.database.session() as session:
            done = idempotency.earlier(session, user=principal.name, key=key, body=body)
            if done is not None:
                return wire.job(session, find(session, principal, done), reader=principal), False
            row = _named(session, principal, body)
            created = row is None
            if row is None:
                row = JobRow(owner=principal.name, name=body.name)
                session.add(row)
            _share(session, principal, row, body)
            # What a promotion leaves open stays as it was.
            _set(row, body.resources.model_dump(exclude_none=True))
            policy = body.policy or Policy()
            _set(row, policy.model_dump(exclude_unset=not created))
            row.updated_at = utcnow()
            session.flush()
            image = None
            if body.image is not None:
                image = images.startable(session, principal, body.image, self._context.settings)
            number = versions.add(
                session, row, content, image=image, path=body.path, by=principal.name
            )
            if body.schedule is not None:
                schedules.put(session, self._context, principal, row, body.schedule)
            else:
                schedules.fits(session, row)
            audit.record(session, principal, "job.promote", row.id, name=row.name, version=number)
            idempotency.remember(session, user=principal.name, key=key, body=body, object_id=row.id)
            session.flush()
            return wire.job(session, row, reader=principal), created


def _set(row: JobRow, fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        setattr(row, name, value)


def _named(session: Session, principal: Principal, body: JobCreate) -> JobRow | None:
    """Return the job that ``body`` makes a version of: the caller's own, or their group's."""
    rows = select(JobRow).where(JobRow.name == body.name)
    own = session.scalar(rows.where(JobRow.owner == principal.name))
    if own is not None or body.owner_group not in principal.groups:
        return own
    return session.scalar(rows.where(JobRow.owner_group == body.owner_group))


def _share(
    session: Session, principal: Principal, row: JobRow, body: JobCreate | JobUpdate
) -> None:
    """Change who sees and owns ``row``; nulls leave it as it is, or private when it is new."""
    visibility, group = body.visibility, body.group
    if body.owner_group is not None:
        if visibility not in (None, Visibility.group) or group not in (None, body.owner_group):
            raise Invalid(
                f"Who owns it sees it: '{body.owner_group}' is to own it.",
                field="owner_group",
                fix="Leave 'visibility' and 'group' out, or the group that owns it.",
            )
        visibility, group = Visibility.group, body.owner_group
    if visibility is None and group is None:
        row.visibility = row.visibility or Visibility.private.value
        return
    try:
        row.visibility, row.group = sharing(principal, visibility or Visibility.group, group)
    except Invalid as error:
        field = "owner_group" if body.owner_group is not None else error.field
        raise Invalid(error.detail, field=field, fix=error.fix) from None
    if body.owner_group is not None:
        _check_name(session, row, body.owner_group)
    # Nobody owns what they do not see.
    row.owner_group = row.group if body.owner_group is not None else None


def _check_name(session: Session, row: JobRow, group: str) -> None:
    with session.no_autoflush:
        theirs = session.scalar(
            select(JobRow).where(JobRow.owner_group == group, JobRow.name == row.name)
        )
    if theirs is not None and theirs is not row:
        raise Conflict(
            f"'{group}' has a job '{row.name}' already, which {theirs.owner} made.",
            field="owner_group",
            fix="Promote a version of that one, or give yours another name.",
        )


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

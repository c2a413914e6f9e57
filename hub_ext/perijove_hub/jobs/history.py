"""What may be seen of a job's versions, and who approves one."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import select

from perijove.types.base import Page, Principal
from perijove.types.jobs import JobVersion
from perijove.types.versions import (
    ImageChange,
    InputChange,
    ParameterChange,
    VersionDiff,
)
from perijove_hub.api.paging import paginate
from perijove_hub.context import Context
from perijove_hub.jobs import differences, versions, wire
from perijove_hub.jobs.service import find, find_to_change
from perijove_hub.store import audit
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import JobVersionRow


class History:
    """The versions of jobs, checked against the caller's rights to the job."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def list(
        self, principal: Principal, job_id: str, *, cursor: str | None, limit: int
    ) -> Page[JobVersion]:
        """List a job's versions, newest first."""
        with self._context.database.reading() as session:
            job = find(session, principal, job_id)
            found, following = paginate(
                session,
                select(JobVersionRow).where(JobVersionRow.job_id == job.id),
                by=JobVersionRow.version,
                tie=JobVersionRow.job_id,
                cursor=cursor,
                limit=limit,
                descending=True,
            )
            return Page[JobVersion](items=wire.versions(session, found), next_cursor=following)

    def get(self, principal: Principal, job_id: str, number: int) -> JobVersion:
        """Return one version; raises ``NotFound``."""
        with self._context.database.reading() as session:
            row = versions.find(session, find(session, principal, job_id), number)
            return wire.versions(session, [row])[0]

    def notebook(self, principal: Principal, job_id: str, number: int) -> bytes:
        """Return a version's notebook, nbformat JSON without outputs; raises ``NotFound``."""
        with self._context.database.reading() as session:
            row = versions.find(session, find(session, principal, job_id), number)
        return self._context.blobs.get(row.notebook_sha256)

    def diff(self, principal: Principal, job_id: str, before: int, after: int) -> VersionDiff:
        """Tell how version ``after`` differs from ``before``; raises ``NotFound``."""
        with self._context.database.reading() as session:
            job = find(session, principal, job_id)
            rows = [versions.find(session, job, number) for number in (before, after)]
            images = [row.image_digest for row in rows]
            one, other = wire.versions(session, rows)
        changes = VersionDiff(
            before=before,
            after=after,
            same=one.digest == other.digest,
            parameters=_parameters(one, other),
            inputs=_inputs(one, other),
        )
        if images[0] != images[1]:
            changes.image = ImageChange(before=one.image, after=other.image)
        if one.notebook_sha256 != other.notebook_sha256:
            old, new = self._loaded(one), self._loaded(other)
            changes.cells, changes.cut = differences.cells(old["cells"], new["cells"])
            changes.metadata = old["metadata"] != new["metadata"]
        return changes

    def approve(self, principal: Principal, job_id: str, number: int) -> JobVersion:
        """Approve a version for schedules that follow approved ones; once is enough.

        Raises ``NotFound``, and ``Refused`` for who is neither the owner nor an administrator.
        """
        with self._context.database.session() as session:
            job = find_to_change(session, principal, job_id)
            row = versions.find(session, job, number)
            if row.approved_at is None:
                row.approved_by, row.approved_at = principal.name, database_now(session)
                audit.record(session, principal, "job.approve", job.id, version=number)
                session.flush()
            return wire.versions(session, [row])[0]

    def withdraw(self, principal: Principal, job_id: str, number: int) -> None:
        """Take an approval back; runs that are queued or running go on. Raises as ``approve``."""
        with self._context.database.session() as session:
            job = find_to_change(session, principal, job_id)
            row = versions.find(session, job, number)
            if row.approved_at is not None:
                row.approved_by = row.approved_at = None
                audit.record(session, principal, "job.withdraw", job.id, version=number)

    def _loaded(self, version: JobVersion) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._context.blobs.get(version.notebook_sha256))
        return found


def _parameters(one: JobVersion, other: JobVersion) -> list[ParameterChange]:
    before = {parameter.name: parameter for parameter in one.parameters}
    after = {parameter.name: parameter for parameter in other.parameters}
    return [
        ParameterChange(name=name, before=before.get(name), after=after.get(name))
        for name in dict.fromkeys([*after, *before])
        if before.get(name) != after.get(name)
    ]


def _inputs(one: JobVersion, other: JobVersion) -> list[InputChange]:
    before = {file.path: file for file in one.inputs}
    after = {file.path: file for file in other.inputs}
    return [
        InputChange(path=path, before=before.get(path), after=after.get(path))
        for path in sorted({*before, *after})
        if before.get(path) != after.get(path)
    ]

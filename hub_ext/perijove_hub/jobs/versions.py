"""A job's versions: which one a schedule runs, and what one is known by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from perijove.types.jobs import Follow, Input
from perijove_hub.exceptions import Invalid, NotFound
from perijove_hub.images import service as images
from perijove_hub.store.models import ImageVersionRow, JobInputRow, JobRow, JobVersionRow


def followed(session: Session, job_id: str, *, version: int | None, follow: str) -> JobVersionRow:
    """Return the version that runs next: ``version``, or what ``follow`` says.

    Raises ``Invalid`` when there is none: a number nothing has, or none that is approved.
    """
    rows = select(JobVersionRow).where(JobVersionRow.job_id == job_id)
    if version is not None:
        found = session.scalar(rows.where(JobVersionRow.version == version))
        if found is None:
            raise Invalid(
                f"'{_name(session, job_id)}' has no version {version}.",
                field="version",
                fix="List its versions, or leave the version out to run the latest.",
            )
        return found
    if follow == Follow.approved:
        rows = rows.where(JobVersionRow.approved_at.is_not(None))
    found = session.scalar(rows.order_by(JobVersionRow.version.desc()).limit(1))
    if found is None:
        raise Invalid(
            f"No version of '{_name(session, job_id)}' is approved.",
            field="version",
            fix="Approve one, or follow the latest.",
        )
    return found


def find(session: Session, job: JobRow, number: int, *, field: str = "version") -> JobVersionRow:
    """Return one version of ``job``; raises ``NotFound``."""
    found = session.get(JobVersionRow, (job.id, number))
    if found is None:
        raise NotFound(
            f"'{job.name}' has no version {number}.", field=field, fix="List its versions."
        )
    return found


@dataclass(frozen=True)
class Content:
    """What is in a version: addresses of blobs that are stored already, and parameters."""

    notebook_sha256: str
    inputs: Sequence[Input]
    parameters: list[Any]
    """As JSON has them."""


def add(
    session: Session,
    job: JobRow,
    content: Content,
    *,
    image: ImageVersionRow | None,
    path: str,
    by: str,
) -> int:
    """Add a version unless the newest has the same digest; return the newest's number.

    A version is never changed. One that equals an older one gets a number of its own all the
    same, because it is the latest then.
    """
    identity = digest(
        notebook_sha256=content.notebook_sha256,
        inputs={file.path: file.sha256 for file in content.inputs},
        parameters=content.parameters,
        image_digest=image.digest if image else None,
    )
    rows = select(JobVersionRow).where(JobVersionRow.job_id == job.id)
    newest = session.scalar(rows.order_by(JobVersionRow.version.desc()).limit(1))
    if newest is not None and _digest(newest) == identity:
        return newest.version
    number = newest.version + 1 if newest else 1
    session.add(
        JobVersionRow(
            job_id=job.id,
            version=number,
            digest=identity,
            notebook_sha256=content.notebook_sha256,
            parameters=content.parameters,
            path=path,
            image=images.reference(session, image) if image else None,
            image_digest=image.digest if image else None,
            created_by=by,
        )
    )
    session.flush()
    session.add_all(
        JobInputRow(
            job_id=job.id, version=number, path=file.path, sha256=file.sha256, bytes=file.bytes
        )
        for file in content.inputs
    )
    session.flush()
    return number


def digest(
    *,
    notebook_sha256: str,
    inputs: Mapping[str, str],
    parameters: Sequence[Any],
    image_digest: str | None,
) -> str:
    """Return the SHA-256 that two versions share exactly if they run the same.

    ``inputs`` maps paths to the SHA-256 of their content; ``parameters`` are as JSON has them.
    """
    content = {
        "notebook": notebook_sha256,
        "inputs": dict(inputs),
        "parameters": list(parameters),
        "image": image_digest,
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _name(session: Session, job_id: str) -> str:
    return session.get_one(JobRow, job_id).name


def _digest(row: JobVersionRow) -> str:
    if row.digest:
        return row.digest
    # Made before there were digests, and input files.
    return digest(
        notebook_sha256=row.notebook_sha256,
        inputs={},
        parameters=row.parameters,
        image_digest=row.image_digest,
    )

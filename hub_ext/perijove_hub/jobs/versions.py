"""A job's versions: which one a schedule runs, and what one is known by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from perijove.types.jobs import Follow
from perijove_hub.exceptions import Invalid, NotFound
from perijove_hub.store.models import JobRow, JobVersionRow


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

"""Finding a job or run by the name a person gives it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import TypeVar
from urllib.parse import quote

from pydantic import BaseModel

from perijove.client import Client
from perijove.exceptions import PerijoveError, Unreachable
from perijove.types.base import Page, Principal
from perijove.types.jobs import Job, Run

M = TypeVar("M", bound=BaseModel)


class JobError(PerijoveError):
    """A job or run is not to be found, or what was asked of it does not go together."""


def find(client: Client, name: str, owner: str | None = None) -> Job:
    """Return the job of this name: the caller's own, or the one they may see.

    Raises ``JobError``.
    """
    found = client.get(Page[Job], "/jobs", name=name, owner=owner).items
    if len(found) > 1:
        me = client.get(Principal, "/whoami").name
        found = [job for job in found if job.owner == me] or found
    if len(found) > 1:
        owners = ", ".join(job.owner for job in found)
        raise JobError(f"Several people have a job '{name}': {owners}. Say whose with owner.")
    if not found:
        raise JobError(
            f"There is no job '{name}' that you may see. `%job list` or `perijove jobs list` "
            "lists them; `%promote` makes one of a notebook."
        )
    return found[0]


def ids(client: Client, names: Sequence[str]) -> list[str]:
    """Return the ids of the jobs of these names; raises ``JobError``."""
    return [find(client, one).id for one in names]


def last_run(job: Job) -> Run:
    """Return a job's newest run; raises ``JobError`` before the first."""
    if job.last_run is None:
        raise JobError(f"'{job.name}' has not run yet: `%job run {job.name}`.")
    return job.last_run


def run_path(run_id: str) -> str:
    """Return where a run is."""
    return f"/runs/{quote(run_id, safe='')}"


def once(client: Client, model: type[M], path: str, body: BaseModel) -> M:
    """POST so that it happens once, though the answer to the first try may be lost."""
    key = uuid.uuid4().hex
    try:
        return client.post(model, path, body, key=key)
    except Unreachable:
        return client.post(model, path, body, key=key)

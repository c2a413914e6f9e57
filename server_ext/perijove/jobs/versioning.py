"""A job's versions: what they hold, how they differ, and which are approved."""

from __future__ import annotations

from perijove.client import Client
from perijove.jobs.finding import find
from perijove.types.jobs import JobVersion
from perijove.types.versions import VersionDiff


def versions(name: str, *, owner: str | None = None) -> list[JobVersion]:
    """Return a job's versions, newest first."""
    with Client() as client:
        return list(client.pages(JobVersion, f"/jobs/{find(client, name, owner).id}/versions"))


def diff(name: str, before: int, after: int, *, owner: str | None = None) -> VersionDiff:
    """Tell how version ``after`` of a job differs from version ``before``."""
    with Client() as client:
        path = f"/jobs/{find(client, name, owner).id}/versions/{before}/diff/{after}"
        return client.get(VersionDiff, path)


def approve(name: str, version: int, *, owner: str | None = None) -> JobVersion:
    """Approve a version: a schedule that follows approved ones runs the newest of them."""
    with Client() as client:
        path = f"/jobs/{find(client, name, owner).id}/versions/{version}/approve"
        return client.post(JobVersion, path)


def disapprove(name: str, version: int, *, owner: str | None = None) -> None:
    """Take a version's approval back."""
    with Client() as client:
        client.delete(f"/jobs/{find(client, name, owner).id}/versions/{version}/approve")

"""Changing a job: its schedule, limits and policy, and who sees it."""

from __future__ import annotations

from typing import Unpack

from perijove.client import Client
from perijove.jobs.finding import JobError, find, ids
from perijove.jobs.settings import Settings, changes, policy_of, resources_of, schedule_of
from perijove.types.base import Visibility
from perijove.types.jobs import Job, JobUpdate, Schedule, SchedulePreview


def edit(
    name: str,
    *,
    owner: str | None = None,
    unschedule: bool = False,
    visibility: str | None = None,
    group: str | None = None,
    owner_group: str | None = None,
    **settings: Unpack[Settings],
) -> Job:
    """Change a job's ``settings``; what is left out stays as it is.

    ``unschedule`` takes its schedule away. Raises ``JobError`` when nothing is to be changed.
    """
    with Client() as client:
        job = find(client, name, owner)
        wanted = schedule_of(settings, ids=lambda names: ids(client, names), current=job.schedule)
        body = JobUpdate(
            schedule=changes(wanted, job.schedule),
            unschedule=unschedule,
            resources=resources_of(settings),
            policy=policy_of(settings),
            visibility=Visibility(visibility) if visibility else None,
            group=group,
            owner_group=owner_group,
        )
        if wanted is None and body == JobUpdate():
            raise JobError(f"There is nothing to change of '{name}': say what, as --retries 2.")
        if body.schedule is not None and "parameters" in body.schedule.model_fields_set:
            # They are replaced together, so another's must not have come in between.
            body.seen = job.schedule.parameters if job.schedule else {}
        return client.patch(Job, f"/jobs/{job.id}", body)


def pause(name: str, *, owner: str | None = None) -> Job:
    """Let a job's schedule rest; slots meanwhile are left out."""
    return _paused(name, owner, paused=True)


def resume(name: str, *, owner: str | None = None) -> Job:
    """Let a paused schedule go on."""
    return _paused(name, owner, paused=False)


def preview(**settings: Unpack[Settings]) -> SchedulePreview:
    """Return the next ten slots that a schedule would have, and make nothing."""
    with Client() as client:
        wanted = schedule_of(settings, ids=lambda names: ids(client, names))
        if wanted is None:
            raise JobError("There is nothing to preview: say when, as --schedule '0 6 * * 1-5'.")
        return client.post(SchedulePreview, "/jobs/schedule/preview", wanted)


def delete(name: str, *, owner: str | None = None) -> None:
    """Delete a job; its schedule ends and its active runs are cancelled."""
    with Client() as client:
        client.delete(f"/jobs/{find(client, name, owner).id}")


def _paused(name: str, owner: str | None, *, paused: bool) -> Job:
    with Client() as client:
        job = find(client, name, owner)
        if job.schedule is None:
            raise JobError(
                f"'{name}' has no schedule: `perijove jobs edit {name} --schedule CRON` sets one."
            )
        body = JobUpdate(schedule=Schedule(paused=paused))
        return client.patch(Job, f"/jobs/{job.id}", body)

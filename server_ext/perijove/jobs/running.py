"""Running jobs, and finding them and their runs."""

from __future__ import annotations

import builtins
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from perijove.client import Client
from perijove.following import PERIOD, patiently, until_ended
from perijove.jobs.finding import JobError, find, last_run, once, run_path
from perijove.types.base import Page
from perijove.types.jobs import Job, LogChunk, Run, RunCreate

Look = Callable[[Run], None]


def run(
    name: str,
    *,
    parameters: Mapping[str, Any] | None = None,
    version: int | None = None,
    priority: int | None = None,
    owner: str | None = None,
    wait: bool = True,
    follow: Look = lambda run: None,
    **more: Any,
) -> Run:
    """Run a job: ``run("tutorial", C=2.0)``.

    Parameters whose names clash with this function's own go into ``parameters``. With ``wait``
    it returns when the run has ended, however it ended; ``follow`` is called with each look.
    """
    body = RunCreate(
        parameters=plain({**(parameters or {}), **more}), version=version, priority=priority
    )
    with Client() as client:
        job = find(client, name, owner)
        started = once(client, Run, f"/jobs/{job.id}/runs", body)
    return until_ended(run_path(started.id), started, follow) if wait else started


def show_run(run_id: str) -> Run:
    """Return one run."""
    with Client() as client:
        return client.get(Run, run_path(run_id))


def wait(run_id: str, *, follow: Look = lambda run: None) -> Run:
    """Wait until a run has ended; ``follow`` is called with each look at it."""
    return until_ended(run_path(run_id), show_run(run_id), follow)


def list(  # noqa: A001 - the grammar's word
    q: str = "", *, state: str | None = None, owner: str | None = None, sort: str | None = None
) -> builtins.list[Job]:
    """Return the jobs you may see; ``state`` is their last run's.

    ``sort`` is ``name`` (the default), ``created_at`` or ``updated_at``, downwards with a ``-``.
    """
    with Client() as client:
        wanted = {"q": q or None, "state": state, "owner": owner, "sort": sort}
        return builtins.list(client.pages(Job, "/jobs", **wanted))


def show(name: str, *, owner: str | None = None) -> Job:
    """Return the job of this name: yours, or the one you may see."""
    with Client() as client:
        return find(client, name, owner)


def runs(
    name: str, *, state: str | None = None, owner: str | None = None, limit: int = 10
) -> builtins.list[Run]:
    """Return a job's newest runs."""
    with Client() as client:
        job = find(client, name, owner)
        return client.get(Page[Run], f"/jobs/{job.id}/runs", state=state, limit=limit).items


def logs(
    name: str,
    *,
    run: str | None = None,
    attempt: int | None = None,
    owner: str | None = None,
    follow: bool = False,
) -> Iterator[str]:
    """Yield the log of a job's last run, or of ``run``, as far as there is one now.

    Of a run that was tried several times it is the last try's, or that of ``attempt``. With
    ``follow`` it goes on until the run has ended, through all further tries, also while the
    control plane is away for a while.
    """
    with Client() as client:
        run_id = run or last_run(find(client, name, owner)).id
        if not follow:
            yield from _log(client, run_id, attempt, follow=False)
            return
        number = attempt or client.get(Run, run_path(run_id)).attempt
        while True:
            yield from _log(client, run_id, number, follow=True)
            now = patiently(lambda: client.get(Run, run_path(run_id)))
            if attempt is not None or now.attempt == number:
                return
            number += 1


def _log(client: Client, run_id: str, attempt: int | None, *, follow: bool) -> Iterator[str]:
    path, offset = f"{run_path(run_id)}/logs", 0
    while True:

        def ask(offset: int = offset) -> LogChunk:
            return client.get(LogChunk, path, offset=offset, attempt=attempt)

        chunk = patiently(ask) if follow else ask()
        if chunk.text:
            yield chunk.text
        if chunk.ended:
            return
        if chunk.next_offset == offset:
            if not follow:
                return
            time.sleep(PERIOD)
        offset = chunk.next_offset


def cancel(name: str, *, run: str | None = None, owner: str | None = None) -> Run:
    """Cancel a job's newest active run, or ``run``."""
    with Client() as client:
        if run is None:
            job = find(client, name, owner)
            newest = client.get(Page[Run], f"/jobs/{job.id}/runs", limit=100).items
            active = [one for one in newest if not one.state.terminal]
            if not active:
                raise JobError(f"No run of '{name}' is queued or running.")
            run = active[0].id
        return client.post(Run, f"{run_path(run)}/cancel")


def plain(given: Mapping[str, Any]) -> dict[str, Any]:
    """Turn dates and numpy's numbers among values into what JSON has."""
    return {name: plain_value(value) for name, value in given.items()}


def plain_value(value: Any) -> Any:
    """Turn a date or one of numpy's numbers into what JSON has."""
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "tolist"):
        return value.tolist()
    return value

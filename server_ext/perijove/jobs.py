"""Jobs from Python: ``inspect``, ``create``, ``run``, ``list``, ``show``, ``logs``, ``cancel``.

Everything goes through the control plane, as whoever the environment says.
"""

from __future__ import annotations

import builtins
import json
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from pydantic import BaseModel

from perijove.client import Client
from perijove.environment import image as here
from perijove.exceptions import NotebookError, PerijoveError, Unreachable
from perijove.following import until_ended
from perijove.runner import parameters as reading
from perijove.runner.values import from_text as from_text
from perijove.types.base import Page, Principal, Visibility
from perijove.types.jobs import (
    Inspection,
    Job,
    JobCreate,
    LogChunk,
    Resources,
    Run,
    RunCreate,
    Schedule,
)

__all__ = ["cancel", "create", "inspect", "list", "logs", "name_for", "run", "runs", "show", "wait"]

M = TypeVar("M", bound=BaseModel)
Notebook = str | Path | dict[str, Any]

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?")


class JobError(PerijoveError):
    """A job or run is not to be found, or its name leaves open which is meant."""


def inspect(notebook: Notebook) -> Inspection:
    """Read a notebook's parameters here, without sending it anywhere.

    Raises ``NotebookError``.
    """
    return reading.inspect(_load(notebook)[0])


def create(
    notebook: Notebook,
    name: str | None = None,
    *,
    path: str | None = None,
    schedule: str | None = None,
    timezone: str = "UTC",
    parameters: Mapping[str, Any] | None = None,
    visibility: str | None = None,
    group: str | None = None,
    memory_mb: int | None = None,
    timeout_s: int | None = None,
    image: str | None = None,
) -> Job:
    """Promote a notebook, by path or as nbformat JSON: a new job, or its next version.

    ``name`` is made of the file's name if left out. ``path`` is for people: where the notebook
    lies. ``schedule`` is a cron expression of five
    fields in ``timezone``; ``parameters`` are the values of scheduled runs. ``image`` is what its
    runs start from, ``NAME`` or ``NAME@VERSION``: if left out, what this runs in.
    """
    if schedule is None and parameters:
        raise JobError("These parameters are for scheduled runs, and no schedule is given.")
    content, found = _load(notebook)
    path = path or found
    if name is None and path is None:
        raise JobError("A notebook without a path has no name: give one with name=.")
    reading.inspect(content)
    name = name or name_for(path or "")
    if not _NAME.fullmatch(name):
        raise JobError(
            f"'{name}' cannot be a job's name: lower-case letters, digits, '.', '_' and '-', "
            f"at most 63. Try '{name_for(name)}'."
        )
    body = JobCreate(
        name=name,
        notebook=_without_outputs(content),
        path=path or "",
        schedule=Schedule(cron=schedule, timezone=timezone, parameters=dict(parameters or {}))
        if schedule
        else None,
        resources=Resources(memory_mb=memory_mb, timeout_s=timeout_s),
        visibility=Visibility(visibility) if visibility else None,
        group=group,
        image=image or here(),
    )
    with Client() as client:
        return _once(client, Job, "/jobs", body)


def run(
    name: str,
    *,
    parameters: Mapping[str, Any] | None = None,
    version: int | None = None,
    owner: str | None = None,
    wait: bool = True,
    follow: Callable[[Run], None] = lambda run: None,
    **more: Any,
) -> Run:
    """Run a job: ``run("tutorial", C=2.0)``.

    Parameters whose names clash with this function's own go into ``parameters``. With ``wait``
    it returns when the run has ended, however it ended; ``follow`` is called with each look.
    """
    given = {key: _plain(value) for key, value in {**(parameters or {}), **more}.items()}
    body = RunCreate(parameters=given, version=version)
    with Client() as client:
        job = _find(client, name, owner)
        started = _once(client, Run, f"/jobs/{job.id}/runs", body)
    return until_ended(f"/runs/{started.id}", started, follow) if wait else started


def wait(run_id: str, *, follow: Callable[[Run], None] = lambda run: None) -> Run:
    """Wait until a run has ended; ``follow`` is called with each look at it."""
    path = f"/runs/{quote(run_id, safe='')}"
    with Client() as client:
        found = client.get(Run, path)
    return until_ended(path, found, follow)


def values(name: str, texts: Mapping[str, str], *, owner: str | None = None) -> dict[str, Any]:
    """Convert texts such as ``"2.0"`` to what the job's parameters declare.

    Raises ``ParameterError``.
    """
    if not texts:
        return {}
    return from_text(show(name, owner=owner).latest.parameters, texts)


def list(  # noqa: A001 - the grammar's word
    q: str = "", *, state: str | None = None, owner: str | None = None
) -> builtins.list[Job]:
    """Return the jobs you may see, by name; ``state`` is their last run's."""
    with Client() as client:
        return builtins.list(client.pages(Job, "/jobs", q=q or None, state=state, owner=owner))


def show(name: str, *, owner: str | None = None) -> Job:
    """Return the job of this name: yours, or the one you may see."""
    with Client() as client:
        return _find(client, name, owner)


def runs(name: str, *, owner: str | None = None, limit: int = 10) -> builtins.list[Run]:
    """Return a job's newest runs."""
    with Client() as client:
        job = _find(client, name, owner)
        return client.get(Page[Run], f"/jobs/{job.id}/runs", limit=limit).items


def logs(name: str, *, run: str | None = None, owner: str | None = None) -> Iterator[str]:
    """Yield the log of a job's last run, or of ``run``, as far as there is one now."""
    with Client() as client:
        run_id = run or _last_run(_find(client, name, owner)).id
        offset = 0
        while True:
            chunk = client.get(LogChunk, f"/runs/{quote(run_id, safe='')}/logs", offset=offset)
            if chunk.text:
                yield chunk.text
            if chunk.ended or chunk.next_offset == offset:
                return
            offset = chunk.next_offset


def cancel(name: str, *, run: str | None = None, owner: str | None = None) -> Run:
    """Cancel a job's newest active run, or ``run``."""
    with Client() as client:
        if run is None:
            job = _find(client, name, owner)
            newest = client.get(Page[Run], f"/jobs/{job.id}/runs", limit=100).items
            active = [one for one in newest if not one.state.terminal]
            if not active:
                raise JobError(f"No run of '{name}' is queued or running.")
            run = active[0].id
        return client.post(Run, f"/runs/{quote(run, safe='')}/cancel")


def name_for(path: str) -> str:
    """Make a job's name of a file's: ``My Report (2).ipynb`` → ``my-report-2``."""
    stem = Path(path).name.removesuffix(".ipynb").lower()
    name = re.sub(r"[^a-z0-9._-]+", "-", stem).strip("-._")[:63].strip("-._")
    return name or "notebook"


def _load(notebook: Notebook) -> tuple[dict[str, Any], str | None]:
    if isinstance(notebook, dict):
        return notebook, None
    path = Path(notebook)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NotebookError(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError):
        raise NotebookError(
            f"{path} is not a notebook: it is not JSON. Choose a file that Jupyter saved (.ipynb)."
        ) from None
    return content, str(notebook)


def _without_outputs(notebook: dict[str, Any]) -> dict[str, Any]:
    """Leave out what the control plane would drop, which may be most of it."""
    cells = [
        {**cell, "outputs": [], "execution_count": None}
        if cell.get("cell_type") == "code"
        else cell
        for cell in notebook["cells"]
    ]
    return {**notebook, "cells": cells}


def _plain(value: Any) -> Any:
    """Turn dates and numpy's numbers into what JSON has."""
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "tolist"):
        return value.tolist()
    return value


def _once(client: Client, model: type[M], path: str, body: BaseModel) -> M:
    """POST so that it happens once, though the answer to the first try may be lost."""
    key = uuid.uuid4().hex
    try:
        return client.post(model, path, body, key=key)
    except Unreachable:
        return client.post(model, path, body, key=key)


def _find(client: Client, name: str, owner: str | None) -> Job:
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


def _last_run(job: Job) -> Run:
    if job.last_run is None:
        raise JobError(f"'{job.name}' has not run yet: `%job run {job.name}`.")
    return job.last_run

"""Making a job of a notebook."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from perijove import manifest
from perijove.client import Client
from perijove.environment import image as here
from perijove.exceptions import NotebookError
from perijove.jobs.finding import JobError, find, ids, once
from perijove.jobs.inputs import AUTO, gather
from perijove.jobs.settings import Settings, policy_of, resources_of, schedule_of
from perijove.runner import parameters as reading
from perijove.runner.values import from_text as from_text
from perijove.types.base import Page, Principal, Visibility
from perijove.types.jobs import Inspection, Job, JobCreate, Policy, Resources

Notebook = str | Path | dict[str, Any]

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?")


def inspect(notebook: Notebook, *, folder: Path | None = None, inputs: str = AUTO) -> Inspection:
    """Read a notebook's parameters here, without sending it anywhere.

    It warns of files that the notebook names and that cannot be kept, too; ``folder`` and
    ``inputs`` as for ``create``. Raises ``NotebookError``.
    """
    content, found = _load(notebook)
    inspection = reading.inspect(content)
    folder = folder or (Path(found).parent if found else None)
    if folder is not None and inputs == AUTO:
        inspection.warnings += manifest.missed(content, folder)
    return inspection


def create(
    notebook: Notebook,
    name: str | None = None,
    *,
    path: str | None = None,
    visibility: str | None = None,
    group: str | None = None,
    owner_group: str | None = None,
    image: str | None = None,
    folder: Path | None = None,
    inputs: str = AUTO,
    input: Sequence[str] = (),  # noqa: A002 - the flag's name
    **settings: Unpack[Settings],
) -> Job:
    """Promote a notebook, by path or as nbformat JSON: a new job, or its next version.

    ``name`` is made of the file's name if left out. ``path`` is for people: where the notebook
    lies. ``image`` is what its runs start from, ``NAME`` or ``NAME@VERSION``: if left out, what
    this runs in. ``inputs="auto"`` keeps the files in the notebook's ``folder`` with it that it
    probably reads, ``"none"`` does not; ``input`` names more. ``settings`` are those of
    ``Settings``, such as ``schedule="0 6 * * 1-5"``, ``every="6h"`` or ``retries=2``;
    ``parameters`` are the values of scheduled runs. Members of ``owner_group`` own the job as
    well: they run, change and promote it. Of a job that is there already, what is left out stays
    as it was.
    """
    content, found = _load(notebook)
    path = path or found
    if name is None and path is None:
        raise JobError("A notebook without a path has no name: give one with name=.")
    reading.inspect(content)
    folder = folder or (Path(found).parent if found else None)
    name = name or name_for(path or "")
    if not _NAME.fullmatch(name):
        raise JobError(
            f"'{name}' cannot be a job's name: lower-case letters, digits, '.', '_' and '-', "
            f"at most 63. Try '{name_for(name)}'."
        )
    with Client() as client:
        body = JobCreate(
            name=name,
            notebook=_without_outputs(content),
            path=path or "",
            inputs=gather(content, folder, inputs=inputs, files=input),
            schedule=schedule_of(settings, ids=lambda names: ids(client, names)),
            resources=resources_of(settings) or Resources(),
            policy=policy_of(settings)
            and policy_of(settings, current=_policy(client, name, owner_group)),
            visibility=Visibility(visibility) if visibility else None,
            group=group,
            owner_group=owner_group,
            image=image or here(),
        )
        return once(client, Job, "/jobs", body)


def values(name: str, texts: Mapping[str, str], *, owner: str | None = None) -> dict[str, Any]:
    """Convert texts such as ``"2.0"`` to what the job's parameters declare.

    Raises ``ParameterError``.
    """
    if not texts:
        return {}
    with Client() as client:
        return from_text(find(client, name, owner).latest.parameters, texts)


def name_for(path: str) -> str:
    """Make a job's name of a file's: ``My Report (2).ipynb`` → ``my-report-2``."""
    stem = Path(path).name.removesuffix(".ipynb").lower()
    name = re.sub(r"[^a-z0-9._-]+", "-", stem).strip("-._")[:63].strip("-._")
    return name or "notebook"


def _policy(client: Client, name: str, group: str | None) -> Policy | None:
    """Return the policy of the caller's, or their group's, job of this name, if there is one."""
    me = client.get(Principal, "/whoami").name
    found = client.get(Page[Job], "/jobs", name=name).items
    own = [job for job in found if job.owner == me]
    theirs = [job for job in found if group is not None and job.owner_group == group]
    return next((job.policy for job in own + theirs), None)


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

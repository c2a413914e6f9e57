"""What became of runs: what they left, how two of them differ, and doing one again."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from perijove.client import Client
from perijove.following import until_ended
from perijove.jobs.finding import JobError, find, last_run, once, run_path
from perijove.jobs.running import plain
from perijove.types.base import Page
from perijove.types.comparison import Comparison
from perijove.types.jobs import Artifact, Attempt, Run, RunAgain
from perijove.types.lineage import Lineage, RelatedRun
from perijove.types.watching import RunFailure


def rerun(
    name: str,
    *,
    run: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    latest: bool = False,
    owner: str | None = None,
    wait: bool = True,
    follow: Callable[[Run], None] = lambda run: None,
) -> Run:
    """Run a job's last run again, or ``run``, with its version and parameters.

    ``parameters`` are those that are to differ; with ``latest`` it is the job's latest version.
    """
    body = RunAgain(parameters=plain(parameters) if parameters else None, latest=latest)
    with Client() as client:
        run_id = _which(client, name, run, owner)
        started = once(client, Run, f"{run_path(run_id)}/again", body)
    return until_ended(run_path(started.id), started, follow) if wait else started


def artifacts(name: str, *, run: str | None = None, owner: str | None = None) -> list[Artifact]:
    """Return the files that a job's last run, or ``run``, left."""
    with Client() as client:
        return client.get(Run, run_path(_which(client, name, run, owner))).artifacts


def lineage(name: str, *, run: str | None = None, owner: str | None = None) -> Lineage:
    """Return what a job's last run, or ``run``, read and recorded, and its neighbours."""
    with Client() as client:
        return client.get(Lineage, f"{run_path(_which(client, name, run, owner))}/lineage")


def related(
    *,
    dataset: str | None = None,
    tracked_run: str | None = None,
    model: str | None = None,
    version: int | None = None,
    limit: int = 50,
) -> list[RelatedRun]:
    """Return the runs of jobs at the other end: one of ``dataset``, ``tracked_run``, ``model``.

    Those that read a dataset, newest first; the one that logged a run of MLflow (its id); the
    one that made ``version`` of a registered model.
    """
    query = {
        "dataset": dataset,
        "tracked_run": tracked_run,
        "model": model,
        "version": version,
        "limit": limit,
    }
    with Client() as client:
        return client.get(Page[RelatedRun], "/lineage", **query).items


def download(
    name: str, folder: Path, *, run: str | None = None, owner: str | None = None
) -> list[Path]:
    """Save the files that a run left in ``folder``, and return where they are.

    No file that is there is replaced. Raises ``JobError``.
    """
    with Client() as client:
        run_id = _which(client, name, run, owner)
        found = client.get(Run, run_path(run_id)).artifacts
        # Before the first is written: all of them, or none.
        places = [_place(folder, one.path) for one in found]
        for one, place in zip(found, places, strict=True):
            content = client.send("GET", f"{run_path(run_id)}/artifacts/{quote(one.path)}").content
            _save(folder, place, content)
    return places


def save_notebook(
    name: str, file: Path, *, run: str | None = None, owner: str | None = None
) -> Path:
    """Save the output notebook of a job's last run, or ``run``; raises ``JobError``.

    No file that is there is replaced.
    """
    with Client() as client:
        path = f"{run_path(_which(client, name, run, owner))}/notebook"
        content = client.send("GET", path).content
    try:
        with file.open("xb") as out:
            out.write(content)
    except FileExistsError:
        raise JobError(f"{file} is there already. Choose another name.") from None
    except OSError as error:
        raise JobError(f"{file} cannot be written: {error.strerror}.") from None
    return file


def compare(one: str, other: str) -> Comparison:
    """Tell what differs between two runs, by their ids."""
    with Client() as client:
        return client.get(Comparison, f"{run_path(one)}/compare/{quote(other, safe='')}")


def failure(run_id: str, *, attempt: int | None = None) -> RunFailure:
    """Return the cell at which a run failed, or an earlier ``attempt`` of it, and why."""
    with Client() as client:
        return client.get(RunFailure, f"{run_path(run_id)}/failure", attempt=attempt)


def attempts(run_id: str) -> list[Attempt]:
    """Return how often a run was tried, in order; the last one is the run as it is now."""
    with Client() as client:
        answer = client.send("GET", f"{run_path(run_id)}/attempts")
    return [Attempt.model_validate(one) for one in answer.json()]


def _which(client: Client, name: str, run: str | None, owner: str | None) -> str:
    return run or last_run(find(client, name, owner)).id


def _place(folder: Path, path: str) -> Path:
    """Return where a file of a run goes; its name was given by whoever wrote the notebook."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or not path.isprintable():
        raise JobError(f"The run left a file '{path!a}', whose name is not safe here.")
    place = folder.joinpath(*parts)
    if os.path.lexists(place):
        raise JobError(f"{place} is there already. Choose another folder.")
    return place


def _save(folder: Path, place: Path, content: bytes) -> None:
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.parent.resolve().is_relative_to(folder.resolve()):
            raise JobError(f"{place.parent} is a link that leads out of {folder}.")
        # Only a new file, and none that a link stands for.
        way = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        with os.fdopen(way, "wb") as file:
            file.write(content)
    except OSError as error:
        raise JobError(f"{place} cannot be written: {error.strerror}.") from None

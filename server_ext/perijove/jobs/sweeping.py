"""Searching the parameters of a job for the best value of a metric."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from perijove.client import Client
from perijove.following import until_ended
from perijove.jobs.backfilling import items
from perijove.jobs.finding import JobError, find, once
from perijove.jobs.running import plain, plain_value
from perijove.jobs.settings import given_only
from perijove.options import Option, one_of, text, whole
from perijove.types.jobs import Job, Parameter
from perijove.types.sweeps import Dimension, Goal, Kind, Method, Sweep, SweepCreate, SweepTrial

Look = Callable[[Sweep], None]

_DRAWN = re.compile(r"(int|uniform|loguniform)\((.*)\)")


def _dimension(given: str) -> tuple[str, str]:
    name, assigned, value = given.partition("=")
    if not assigned or not name.isidentifier() or not value:
        raise ValueError("NAME=1,2,3, NAME=int(1,9), NAME=uniform(0,1) or NAME=loguniform(1e-4,1)")
    return name, value


SWEEP = [
    Option(
        "space",
        "NAME=1,2,3, or NAME=int(1,9), uniform(0,1), loguniform(1e-4,1).",
        _dimension,
        "NAME=VALUES",
        True,
    ),
    Option("metric", "The %metric whose last value counts.", text, "NAME"),
    Option("goal", "Which value is best: min (if left out), max.", one_of(Goal), "GOAL"),
    Option("method", "grid (if left out), random, optuna.", one_of(Method), "METHOD"),
    Option("trials", "How many runs; a grid's size if left out.", whole, "N"),
    Option("concurrency", "Runs at once; 2 if left out.", whole, "N"),
    Option("max_failures", "Failed trials after which it stops.", whole, "N"),
    Option("seed", "The same seed draws the same parameters.", whole, "N"),
    Option("priority", "Higher numbers start first; -10 if left out.", whole, "N"),
    Option("experiment", "MLflow's experiment; the notebook's if left out.", text, "NAME"),
]


def sweep(
    name: str,
    *,
    space: Mapping[str, Dimension | Sequence[Any]],
    metric: str,
    goal: str | None = None,
    method: str | None = None,
    trials: int | None = None,
    concurrency: int | None = None,
    max_failures: int | None = None,
    seed: int | None = None,
    parameters: Mapping[str, Any] | None = None,
    version: int | None = None,
    priority: int | None = None,
    experiment: str | None = None,
    owner: str | None = None,
    wait: bool = True,
    follow: Look = lambda sweep: None,
) -> Sweep:
    """Run a job with many parameters: ``sweep("tutorial", space={"C": [0.1, 1]}, metric="auc")``.

    ``space`` has a sequence of values or a ``Dimension`` by parameter's name. ``goal`` is
    ``"min"`` or ``"max"``; ``method`` is ``"grid"``, ``"random"`` or ``"optuna"``, and all but a
    grid need ``trials``. With ``wait`` it returns when the sweep is over.
    """
    body = SweepCreate.model_validate(
        given_only(
            space={one: _as_dimension(value) for one, value in space.items()},
            metric=metric,
            goal=goal,
            method=method,
            trials=trials,
            concurrency=concurrency,
            max_failures=max_failures,
            seed=seed,
            parameters=plain(parameters or {}),
            version=version,
            priority=priority,
            experiment=experiment,
        )
    )
    with Client() as client:
        path = f"/jobs/{find(client, name, owner).id}/sweeps"
        made = once(client, Sweep, path, body)
    return until_ended(sweep_path(made.id), made, follow) if wait else made


def sweeps(name: str, *, owner: str | None = None) -> list[Sweep]:
    """Return a job's sweeps, newest first."""
    with Client() as client:
        return list(client.pages(Sweep, f"/jobs/{find(client, name, owner).id}/sweeps"))


def show_sweep(sweep_id: str) -> Sweep:
    """Return a sweep, how far it is and its best trial."""
    with Client() as client:
        return client.get(Sweep, sweep_path(sweep_id))


def trials(sweep_id: str) -> list[SweepTrial]:
    """Return the trials of a sweep in the order they were begun."""
    with Client() as client:
        return list(client.pages(SweepTrial, f"{sweep_path(sweep_id)}/trials"))


def wait_sweep(sweep_id: str, *, follow: Look = lambda sweep: None) -> Sweep:
    """Wait until a sweep is over; ``follow`` is called with each look at it."""
    return until_ended(sweep_path(sweep_id), show_sweep(sweep_id), follow)


def cancel_sweep(sweep_id: str) -> Sweep:
    """Cancel a sweep and its runs."""
    with Client() as client:
        return client.post(Sweep, f"{sweep_path(sweep_id)}/cancel")


def sweep_path(sweep_id: str) -> str:
    """Return where a sweep is."""
    return f"/sweeps/{quote(sweep_id, safe='')}"


def searched(job: Job, given: Mapping[str, Any]) -> dict[str, Any]:
    """Turn what flags of a line gave into the keywords of ``sweep``, by declared types.

    Raises ``JobError`` or ``ParameterError``.
    """
    keywords = dict(given)
    if "space" not in keywords or "metric" not in keywords:
        raise JobError(
            "A sweep needs a space and a metric: --space 'C=0.1,1,10' --metric accuracy."
        )
    space: dict[str, Dimension] = {}
    for name, value in keywords["space"]:
        if name in space:
            raise JobError(f"--space '{name}' is given twice.")
        space[name] = _read(job.latest.parameters, name, value)
    return {**keywords, "space": space}


def _read(declared: Sequence[Parameter], name: str, given: str) -> Dimension:
    if drawn := _DRAWN.fullmatch(given.strip()):
        return _drawn(name, drawn[1], drawn[2])
    if given[:1] == "[":
        try:
            return Dimension(values=list(ast.literal_eval(given)))
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            raise JobError(f"--space {name} must be a list as Python writes it.") from None
    return Dimension(values=items(declared, name, given))


def _drawn(name: str, kind: str, given: str) -> Dimension:
    try:
        low, high, *step = (float(one) for one in given.split(","))
        if len(step) > (kind == "int"):
            raise ValueError
    except ValueError:
        ends = "LOW,HIGH[,STEP]" if kind == "int" else "LOW,HIGH"
        raise JobError(f"--space {name} must be {kind}({ends}), not '{kind}({given})'.") from None
    return Dimension(kind=Kind(kind), low=low, high=high, step=int(step[0]) if step else 1)


def _as_dimension(given: Dimension | Sequence[Any]) -> Dimension:
    if isinstance(given, Dimension):
        return given
    return Dimension(values=[plain_value(one) for one in given])

"""Experiments from Python: track a block, look runs up, compare them.

with perijove.experiment("breast-cancer", params={"C": 0.5}) as run:
    run.metric("auc", 0.99)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from perijove.client import Client
from perijove.exceptions import PerijoveError
from perijove.types.base import Page
from perijove.types.experiments import Experiment, TrackedRun

if TYPE_CHECKING:
    from perijove.experiments.active import track as experiment

__all__ = ["compare", "experiment", "run", "runs", "search"]


def __getattr__(name: str) -> Any:
    if name == "experiment":
        from perijove.experiments.active import track

        return track
    raise AttributeError(f"module 'perijove.experiments' has no attribute {name!r}")


def search(words: str = "", *, limit: int = 100) -> list[Experiment]:
    """List the experiments whose name contains ``words``, last changed first."""
    with Client() as client:
        found = client.get(Page[Experiment], "/experiments", q=words or None, limit=limit)
    return found.items


def runs(experiment: str, *, limit: int = 100) -> list[TrackedRun]:
    """List the runs of the experiment of that name or id, newest first.

    Raises ``PerijoveError`` that names the experiments there are.
    """
    with Client() as client:
        found = client.get(Page[Experiment], "/experiments", q=experiment, limit=500).items
        ids = [item.id for item in found if item.name == experiment]
        if not ids and not experiment.isdigit():
            known = client.get(Page[Experiment], "/experiments", limit=20).items
            names = ", ".join(item.name for item in known) or "none yet"
            raise PerijoveError(f"There is no experiment '{experiment}'. Experiments: {names}.")
        path = f"/experiments/{ids[0] if ids else experiment}/runs"
        return client.get(Page[TrackedRun], path, limit=limit).items


def run(run_id: str) -> TrackedRun:
    """Look one run up by its id."""
    with Client() as client:
        return client.get(TrackedRun, f"/tracked-runs/{quote(run_id, safe='')}")


def compare(compared: Sequence[TrackedRun]) -> list[list[str]]:
    """Return rows of name and one value a run: every metric, and parameters that differ."""
    rows = [
        [f"metric {name}", *(_number(run.metrics.get(name)) for run in compared)]
        for name in sorted({name for run in compared for name in run.metrics})
    ]
    for name in sorted({name for run in compared for name in run.parameters}):
        values = [run.parameters.get(name, "") for run in compared]
        if len(set(values)) > 1 or len(compared) == 1:
            rows.append([f"param {name}", *values])
    return rows


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"

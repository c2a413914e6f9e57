"""A job's runner against papermill and nbclient alone, and a run as the person who asked sees it.

    python bench/jobs.py [--rounds N]

Each runs the same notebooks in a fresh process, as a cron entry would start it. A run's figure is
from the request to the answer that says it succeeded.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.side_by_side import Figures, table, take_turns
from bench.spawn import free_port, running, seconds_until

#: Cells of each notebook.
SIZES = (1, 50, 200)

#: Cells that show half a megabyte each.
IMAGES = 100

PAPERMILL = """
import sys, papermill

papermill.execute_notebook(sys.argv[1], sys.argv[1] + ".out", progress_bar=False)
"""

NBCLIENT = """
import sys, nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[1] + ".out")
"""


def notebook(sources: Sequence[str]) -> dict[str, Any]:
    """Make a notebook with a parameter and cells of these sources."""

    def cell(number: int, source: str, *tags: str) -> dict[str, Any]:
        return {
            "cell_type": "code",
            "id": f"cell-{number}",
            "metadata": {"tags": list(tags)},
            "source": source,
            "outputs": [],
            "execution_count": None,
        }

    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        "cells": [
            cell(0, "number: int = 1", "parameters"),
            *(cell(at, source) for at, source in enumerate(sources, 1)),
        ],
    }


def trivial(cells: int) -> dict[str, Any]:
    """Make a notebook of cells that print a line each."""
    return notebook([f"print(number + {at})" for at in range(1, cells + 1)])


def images() -> dict[str, Any]:
    """Make a notebook of cells that show an image of half a megabyte each."""
    show = (
        "import base64, os; from IPython.display import Image, display; "
        "display(Image(data=os.urandom(393_216), format='png'))"
    )
    return notebook([show] * IMAGES)


NOTEBOOKS = {
    **{f"{cells} cell{'s' * (cells > 1)}": partial(trivial, cells) for cells in SIZES},
    f"{IMAGES} cells of 0.5 MB": images,
}


def alone(*command: str) -> Figures:
    """Measure a command in fresh processes: its seconds, and its processors' with the kernel's."""
    figures = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "parameters.json").write_text("{}")
        for label, make in NOTEBOOKS.items():
            (folder / "notebook.ipynb").write_text(json.dumps(make()))
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            began = time.monotonic()
            subprocess.run([sys.executable, *command], check=True, capture_output=True, cwd=folder)
            figures[f"{label}, s"] = time.monotonic() - began
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            figures[f"{label}, processor s"] = (
                after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            )
    return figures


CONTENDERS: dict[str, Callable[[], Figures]] = {
    "nbclient": partial(alone, "-c", NBCLIENT, "notebook.ipynb"),
    "papermill": partial(alone, "-c", PAPERMILL, "notebook.ipynb"),
    "Perijove": partial(
        alone,
        *("-m", "perijove.runner", "notebook.ipynb", "--parameters", "parameters.json"),
        *("--output", "output.ipynb", "--events", "events.jsonl"),
    ),
}


def perijove(api: httpx.Client) -> Figures:
    """Measure job runs through the API."""
    figures = {}
    for number, (label, make) in enumerate(NOTEBOOKS.items()):
        body = {"name": f"bench-{number}", "notebook": make()}
        job = api.post("jobs", json=body).raise_for_status().json()
        began = time.monotonic()
        run = api.post(f"jobs/{job['id']}/runs", json={}).raise_for_status().json()
        figures[f"{label}, s"] = seconds_until(partial(succeeded, api, run["id"]), since=began)
    return figures


def due(api: httpx.Client, runs: int) -> list[float]:
    """Schedule a job every ten seconds; return the seconds from each slot to its first cell."""
    schedule = {"every_s": 10, "overlap": "allow"}
    job = {"name": "bench-due", "notebook": trivial(1), "schedule": schedule}
    made = api.post("jobs", json=job).raise_for_status().json()
    try:
        while len(_ended(api, made["id"])) < runs:
            # Seldom, so that asking costs the runs nothing.
            time.sleep(2)
        found = _ended(api, made["id"])
        return [_first_cell(api, run["id"]) - _instant(run["slot"]) for run in found]
    finally:
        api.delete(f"jobs/{made['id']}")


def _ended(api: httpx.Client, job_id: str) -> list[dict[str, Any]]:
    found = api.get(f"jobs/{job_id}/runs", params={"state": "succeeded"}).raise_for_status()
    items: list[dict[str, Any]] = found.json()["items"]
    return items


def _first_cell(api: httpx.Client, run_id: str) -> float:
    times = api.get(f"runs/{run_id}/cells").raise_for_status().json()
    return _instant(times["cells"][0]["started_at"])


def _instant(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def succeeded(api: httpx.Client, run_id: str) -> bool:
    """Tell whether a run has succeeded; end the script when it ended otherwise."""
    run = api.get(f"runs/{run_id}").raise_for_status().json()
    if run["state"] in ("failed", "cancelled", "lost"):
        raise SystemExit(f"the run {run['state']}: {run['reason']}")
    return bool(run["state"] == "succeeded")


def main() -> None:
    """Print the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        port, data = free_port(), folder / "data"
        command = [sys.executable, "-m", "perijove_hub.cli"]
        up = [
            *command,
            "up",
            "--demo",
            "--spawner",
            "local",
            "--port",
            str(port),
            "--data-dir",
            str(data),
        ]
        with running(up, folder):
            seconds_until(
                lambda: "is ready at" in (folder / "log").read_text(), since=time.monotonic()
            )
            asked = [*command, "token", "ada", "--data-dir", str(data)]
            token = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
            with httpx.Client(
                base_url=f"http://127.0.0.1:{port}/services/perijove/api/v1/",
                headers={"Authorization": f"Bearer {token}"},
                timeout=60,
                trust_env=False,
            ) as api:
                found = take_turns({**CONTENDERS, "a run": lambda: perijove(api)}, rounds)
                waits = due(api, 2 * rounds)
    print("## Job runs\n")
    print(
        f"{rounds} rounds. Each runs the notebook in a fresh process; processor seconds are the "
        "kernel's too. Perijove keeps every output on disk at once and papermill saves at every "
        "cell, nbclient saves at the end.\n"
    )
    print(table(found, peer="nbclient", ours="Perijove"))
    print("\nThe same for papermill:\n")
    print(table(found, peer="nbclient", ours="papermill"))
    print(
        "\nA run as the person who asked sees it, from the request to the answer that it has "
        "succeeded: with the worker's look at the queue, typed parameters, progress kept in the "
        "database, and the output notebook kept in the blob store:\n"
    )
    print(table({name: _seconds(found[name]) for name in found}, peer="nbclient", ours="a run"))
    print(
        f"\nFrom the moment a schedule is due to its first cell: {statistics.median(waits):.2f} s "
        f"({min(waits):.2f} to {max(waits):.2f}, {len(waits)} slots), with the start of a process "
        "and a kernel for each.\n"
    )


def _seconds(figures: Mapping[str, list[float]]) -> dict[str, list[float]]:
    return {name: values for name, values in figures.items() if "processor" not in name}


if __name__ == "__main__":
    main()

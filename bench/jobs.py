"""A job run against nbclient alone, on the same notebook.

    python bench/jobs.py [--rounds N]

nbclient runs in a fresh process, as a cron entry would start it. Perijove's figure is what the
person who asked sees: from the request to the answer that says it succeeded.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.side_by_side import Figures, table, take_turns
from bench.spawn import free_port, running, seconds_until

#: Cells of each notebook.
SIZES = (1, 50, 200)

NBCLIENT = """
import sys, nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[1] + ".out")
"""


def notebook(cells: int) -> dict[str, Any]:
    """Make a notebook with a parameter and cells that print a line each."""

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
            *(cell(at, f"print(number + {at})") for at in range(1, cells + 1)),
        ],
    }


def label(cells: int) -> str:
    """Name the figure of a notebook."""
    return f"{cells} cell{'' if cells == 1 else 's'}, s"


def nbclient() -> Figures:
    """Measure nbclient in fresh processes."""
    figures = {}
    with tempfile.TemporaryDirectory() as name:
        for cells in SIZES:
            path = Path(name) / f"{cells}.ipynb"
            path.write_text(json.dumps(notebook(cells)))
            began = time.monotonic()
            subprocess.run([sys.executable, "-c", NBCLIENT, path], check=True, capture_output=True)
            figures[label(cells)] = time.monotonic() - began
    return figures


def perijove(api: httpx.Client) -> Figures:
    """Measure job runs through the API."""
    figures = {}
    for cells in SIZES:
        body = {"name": f"bench-{cells}", "notebook": notebook(cells)}
        job = api.post("jobs", json=body).raise_for_status().json()
        began = time.monotonic()
        run = api.post(f"jobs/{job['id']}/runs", json={}).raise_for_status().json()
        figures[label(cells)] = seconds_until(partial(succeeded, api, run["id"]), since=began)
    return figures


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
                found = take_turns(
                    {"nbclient": nbclient, "Perijove": lambda: perijove(api)}, rounds
                )
    print("## Job runs\n")
    print(
        f"{rounds} rounds. Perijove's figure is from the request to the answer that the run has "
        "succeeded, and holds the worker's look at the queue, the shim, typed parameters, progress "
        "kept in the database, and the output notebook kept in the blob store.\n"
    )
    print(table(found, peer="nbclient", ours="Perijove"))


if __name__ == "__main__":
    main()

"""Run every script and write ``bench/RESULTS.md``: ``python -m bench``."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import psutil

HERE = Path(__file__).resolve().parent
SCRIPTS = (
    "spawn.py",
    "spawn_docker.py",
    "isolation.py",
    "jobs.py",
    "scheduler.py",
    "prediction.py",
)
PACKAGES = (
    "jupyterhub",
    "dockerspawner",
    "jupyterlab",
    "nbclient",
    "papermill",
    "mlflow",
    "uvicorn",
    "scikit-learn",
)


def processor() -> str:
    """Name this machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":")[1].strip() for line in lines if "model name" in line), "unknown")


def machine() -> str:
    """Say what the figures were measured on."""
    memory = psutil.virtual_memory().total / 2**30
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    return (
        f"Measured {datetime.now(UTC):%Y-%m-%d} on {os.cpu_count()} cores of {processor()}, "
        f"{memory:.0f} GiB, Linux {platform.release()}, Python {platform.python_version()}; "
        f"{versions}. The machine was shared: compare ratios, not seconds."
    )


def main() -> int:
    """Write the report; a script that fails is named in it."""
    sections, failed = [], False
    for script in SCRIPTS:
        print(f"== {script}", file=sys.stderr, flush=True)
        done = subprocess.run(
            [sys.executable, HERE / script], stdout=subprocess.PIPE, text=True, check=False
        )
        if done.returncode:
            failed = True
            sections.append(f"## {script}\n\nIt failed with status {done.returncode}.")
        else:
            sections.append(done.stdout.strip())
    report = "\n\n".join(["# Results", machine(), *sections])
    (HERE / "RESULTS.md").write_text(report + "\n", encoding="utf-8")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

"""Small programs in place of the notebook's runner, where what is tried is around it.

They run in a run's folder, by the real launcher, and leave what a runner leaves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from perijove_hub.jobs import workload
from perijove_hub.launch import Workload

TOLD = """
echo '{"event": "started", "cells_total": 1}' > events.jsonl
echo '{"event": "cell", "number": 1, "line": "work"}' >> events.jsonl
"""
DONE = """
echo '{"event": "done", "number": 1}' >> events.jsonl
echo '{"event": "ended", "ending": "succeeded"}' >> events.jsonl
echo '{"name": "loss", "value": 0.5}' > metrics.jsonl
echo '{"cells": []}' > output.ipynb
mkdir -p work/outputs && echo left > work/outputs/file
"""


def marking(marks: Path, *between: str) -> str:
    """Leave a mark outside the run's folder, so that a second start shows, then succeed."""
    return "\n".join([f"echo $PERIJOVE_RUN_ID >> '{marks}'", TOLD, *between, DONE])


def until(path: Path) -> str:
    """Wait for a file; not for ever, should its test be gone."""
    return f"for _ in $(seq 1200); do [ -e '{path}' ] && break; sleep 0.05; done"


def described(script: str) -> Callable[..., Workload]:
    """Return what stands in for ``workload.describe``: the same, but for the program."""
    real = workload.describe

    def describe(*arguments: Any, **more: Any) -> Workload:
        return replace(real(*arguments, **more), command=("/bin/sh", "-c", script))

    return describe

"""Ask the nursery for workers, and see them die."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.fixtures.processes import ROOT, pythonpath, wait_until


class Nursery:
    """Starts worker processes, each forked from one that has imported everything."""

    def __init__(self, mother: subprocess.Popen[str]) -> None:
        self._mother = mother
        self._children: list[int] = []
        self._asking = threading.Lock()

    @classmethod
    @contextlib.contextmanager
    def running(cls, environment: Mapping[str, str] | None = None) -> Iterator[Nursery]:
        """Import once, with ``environment`` on top of ours; end every worker afterwards."""
        mother = subprocess.Popen(
            [sys.executable, "-m", "tests.jobs.nursery"],
            cwd=ROOT,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(ROOT), pythonpath()]),
                **(environment or {}),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        found = cls(mother)
        assert found._answer() == "ready"
        try:
            yield found
        finally:
            for child in found._children:
                end(child, signal.SIGKILL)
            mother.kill()
            mother.communicate()

    def worker(self, data: Path, log: Path, script: str, **more: Any) -> int:
        """Start a worker of a data directory; return its process id."""
        asked = {"data": str(data), "log": str(log), "script": script, **more}
        assert self._mother.stdin is not None
        with self._asking:
            self._mother.stdin.write(json.dumps(asked) + "\n")
            self._mother.stdin.flush()
            child = int(self._answer())
            self._children.append(child)
        return child

    def _answer(self) -> str:
        assert self._mother.stdout is not None
        return self._mother.stdout.readline().strip()


def end(child: int, number: int) -> None:
    """Signal a worker and wait until it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, number)
    gone(child)


def gone(child: int) -> None:
    """Wait until a process is gone."""
    wait_until(lambda: not Path(f"/proc/{child}").exists(), seconds=90, what="the worker's end")

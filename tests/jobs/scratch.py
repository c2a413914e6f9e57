"""A run's folder, and the runner in it as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

TOKEN = "pjr_a-very-secret-token"


@dataclass
class Folder:
    """A run's scratch folder."""

    path: Path

    def start(
        self,
        content: Any,
        parameters: Any = None,
        *flags: str,
        environment: Mapping[str, str] | None = None,
        runner: Sequence[str] = ("-m", "perijove.runner"),
    ) -> subprocess.Popen[bytes]:
        (self.path / "notebook.ipynb").write_text(json.dumps(content))
        (self.path / "parameters.json").write_text(json.dumps(parameters or {}))
        arguments = ["--parameters", "parameters.json", "--output", "output.ipynb"]
        arguments += ["--events", "events.jsonl", *flags]
        with (self.path / "log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, *runner, "notebook.ipynb", *arguments],
                cwd=self.path,
                stdout=log,
                stderr=log,
                env=os.environ
                | {"PERIJOVE_TOKEN": TOKEN, "HOME": str(self.path)}
                | dict(environment or {}),
            )

    def run(self, content: Any, parameters: Any = None, *flags: str, **options: Any) -> int:
        return self.start(content, parameters, *flags, **options).wait(120)

    @property
    def events(self) -> list[dict[str, Any]]:
        path = self.path / "events.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def ending(self) -> dict[str, Any]:
        return self.events[-1]

    @property
    def output(self) -> Any:
        return nbformat.read(self.path / "output.ipynb", as_version=4)

    @property
    def log(self) -> str:
        return (self.path / "log").read_text()

    @property
    def left(self) -> str:
        """Everything in the folder that the runner wrote."""
        given = ("notebook.ipynb", "parameters.json")
        files = [path for path in self.path.rglob("*") if path.is_file() and path.name not in given]
        return "".join(path.read_text(errors="replace") for path in files)

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + 60
        while text not in self.log:
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)


def printed(cell: Any) -> str:
    """Return what a cell printed."""
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")

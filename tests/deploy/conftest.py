"""The engine of the Docker tests, and the images that compose runs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.docker.conftest import engine
from tests.fixtures.processes import ROOT

__all__ = ["engine"]


@pytest.fixture(scope="session")
def images(engine: None) -> None:
    """The images of the parts and of workspaces, built from this checkout."""
    command = [sys.executable, ROOT / "images" / "build", "cpu", "hub", "postgres"]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr

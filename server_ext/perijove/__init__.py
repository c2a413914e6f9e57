"""Perijove in a kernel: catalog, experiments, jobs and models, as magics and as Python.

Importing this package loads nothing heavy: ``%load_ext perijove`` must stay under 150 ms.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from perijove import catalog, experiments, jobs, models
    from perijove.experiments import experiment

__all__ = ["catalog", "experiment", "experiments", "jobs", "models"]

__version__ = "0.1.0"

_NOUNS = {"catalog", "experiments", "jobs", "models"}


def __getattr__(name: str) -> Any:
    if name in _NOUNS:
        return importlib.import_module(f"perijove.{name}")
    if name == "experiment":
        return importlib.import_module("perijove.experiments").experiment
    raise AttributeError(f"module 'perijove' has no attribute {name!r}")


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register the magics: ``%load_ext perijove``."""
    from perijove.magics import register

    register(shell)


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    from perijove.server import extension_points

    return extension_points()


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "perijove"}]

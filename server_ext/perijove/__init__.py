"""Perijove in a kernel: catalog, experiments, jobs, models and images, as magics and as Python.

Importing this package loads nothing heavy: ``%load_ext perijove`` must stay under 150 ms.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from perijove import catalog, experiments, images, jobs, models, secrets, shares
    from perijove.experiments import experiment
    from perijove.secrets import Secret, secret

__all__ = [
    "Secret",
    "catalog",
    "experiment",
    "experiments",
    "images",
    "jobs",
    "models",
    "secret",
    "secrets",
    "shares",
]

__version__ = "0.1.0"

_NOUNS = {"catalog", "experiments", "images", "jobs", "models", "secrets", "shares"}


def __getattr__(name: str) -> Any:
    if name in _NOUNS:
        return importlib.import_module(f"perijove.{name}")
    if name == "experiment":
        return importlib.import_module("perijove.experiments").experiment
    if name in ("Secret", "secret"):
        return getattr(importlib.import_module("perijove.secrets"), name)
    raise AttributeError(f"module 'perijove' has no attribute {name!r}")


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register the magics: ``%load_ext perijove``."""
    from perijove.magics import register

    register(shell)
    _send_what_was_left()


def _send_what_was_left() -> None:
    """Send, in the background, what kernels that died had tracked; nothing loads if none did."""
    import os
    from contextlib import suppress
    from threading import Thread

    def send() -> None:
        from perijove.exceptions import PerijoveError
        from perijove.experiments.active import sender

        with suppress(PerijoveError):
            sender()

    place = os.environ.get("PERIJOVE_SPOOL") or os.path.expanduser("~/.perijove-spool")  # noqa: PTH111
    with suppress(OSError):
        if os.listdir(place):  # noqa: PTH208
            Thread(target=send, daemon=True).start()


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    from perijove.server import extension_points

    return extension_points()


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "perijove"}]

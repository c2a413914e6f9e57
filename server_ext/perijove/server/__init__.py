"""The Jupyter Server extension: lets the browser reach the control plane without a token."""

from __future__ import annotations

from typing import Any


def extension_points() -> list[dict[str, Any]]:
    """Tell Jupyter Server what to load."""
    from perijove.server.app import PerijoveApp

    return [{"module": "perijove.server.app", "app": PerijoveApp}]

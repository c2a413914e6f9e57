"""The Hub's side: one line in ``jupyterhub_config.py`` adopts Perijove."""

from __future__ import annotations

from perijove_hub.hub.configure import configure

__all__ = ["configure"]

"""Perijove's control plane: Hub adapter, API, store, scheduler, launcher, gateway."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"

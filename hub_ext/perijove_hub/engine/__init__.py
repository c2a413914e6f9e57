"""The Docker Engine: names, hardening and network, for whatever runs in a container."""

from __future__ import annotations

from perijove_hub.engine.names import Names
from perijove_hub.engine.sandbox import Mount, Sandbox

__all__ = ["Mount", "Names", "Sandbox"]

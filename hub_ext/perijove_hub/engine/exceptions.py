"""What goes wrong with the engine; apart from its client, which takes a while to import."""

from __future__ import annotations


class EngineDown(Exception):
    """The engine does not answer; ``str()`` says what to do. Trying again later is right."""

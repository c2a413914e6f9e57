"""What goes wrong with messages."""

from __future__ import annotations


class NotDelivered(Exception):
    """A message that did not arrive, and may the next time; ``str()`` says why."""

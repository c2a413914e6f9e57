"""The containers' network is closed before anything starts, and until nothing is left on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from perijove_hub.context import Context
from perijove_hub.engine.exceptions import EngineDown


@contextmanager
def closed_network(context: Context) -> Iterator[None]:
    """Keep the firewall in force meanwhile; in local mode do nothing.

    Afterwards network and table go, but stay when a container still runs there. Raises
    ``StartError`` when the firewall cannot be put in force.
    """
    if context.topology.spawner != "docker":
        yield
        return
    # Docker's client takes a while to import, and local mode does without.
    from perijove_hub.engine import Names, firewall, network

    names = Names.of(context.data.root)
    firewall.enforce(names, context.topology, context.settings.network.allow)
    try:
        yield
    finally:
        try:
            empty = network.remove(names)
        except EngineDown:
            empty = False
        if empty:
            firewall.lift(names)

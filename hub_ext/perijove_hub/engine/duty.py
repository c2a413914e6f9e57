"""The worker's part: the containers' network stays closed."""

from __future__ import annotations

import logging

from perijove_hub.context import Context
from perijove_hub.engine import firewall
from perijove_hub.engine.names import Names

log = logging.getLogger(__name__)


class FirewallDuty:
    """Puts the firewall back in force when somebody has removed it, or part of it."""

    name = "firewall"
    period = 15.0

    def __init__(self, context: Context) -> None:
        self._context = context
        self._names = Names.of(context.data.root)

    def tick(self) -> None:
        """Look once."""
        if firewall.in_force(self._names):
            return
        log.warning("the containers' firewall was gone: putting it back")
        firewall.enforce(self._names, self._context.topology, self._context.settings.network.allow)

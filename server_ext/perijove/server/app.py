"""Plug the forwarder into a user's Jupyter server."""

from __future__ import annotations

import os

from jupyter_server.extension.application import ExtensionApp

from perijove.server.forward import ForwardHandler
from perijove.server.upstream import Upstream


class PerijoveApp(ExtensionApp):  # type: ignore[misc]
    """Serves ``/perijove/api/…`` under the server's base URL.

    Configured by the environment, as kernels are: ``PERIJOVE_URL`` says where the control
    plane is, ``PERIJOVE_TOKEN`` or ``JUPYTERHUB_API_TOKEN`` who is calling.
    """

    name = "perijove"

    def initialize_handlers(self) -> None:
        """Register the forwarder with its upstream."""
        self.upstream = Upstream.from_environment(os.environ)
        self.handlers.append((r"/perijove/api/.*", ForwardHandler, {"upstream": self.upstream}))

    async def stop_extension(self) -> None:
        """Close the connections to the control plane."""
        await self.upstream.close()

"""Plug the forwarder into a user's Jupyter server."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Any

from jupyter_server.extension.application import ExtensionApp

from perijove.environment import image, make_room
from perijove.server.activity import ActivityReporter, server_name
from perijove.server.forward import ForwardHandler
from perijove.server.image_spec import ImageSpecHandler
from perijove.server.inputs import InputsHandler
from perijove.server.shared_folders import link
from perijove.server.shares import routes as shares
from perijove.server.upstream import Upstream
from perijove.server.workspace import WorkspaceHandler


class PerijoveApp(ExtensionApp):  # type: ignore[misc]
    """Serves ``/perijove/api/…`` under the server's base URL.

    Configured by the environment, as kernels are: ``PERIJOVE_URL`` says where the control
    plane is, ``PERIJOVE_TOKEN`` or ``JUPYTERHUB_API_TOKEN`` who is calling.
    """

    name = "perijove"

    def initialize_handlers(self) -> None:
        """Register the forwarder with its upstream."""
        self.upstream = Upstream.from_environment(os.environ)
        self.reporter = ActivityReporter(self.serverapp, self.upstream, server_name())
        self.reporting: asyncio.Task[None] | None = None
        self.handlers.append((r"/perijove/api/.*", ForwardHandler, {"upstream": self.upstream}))
        self.handlers.append(
            (r"/perijove/workspace", WorkspaceHandler, {"reporter": self.reporter})
        )
        self.handlers.append((r"/perijove/image-spec", ImageSpecHandler))
        self.handlers.append((r"/perijove/inputs", InputsHandler))
        self.handlers.extend(shares(self.upstream))
        # What is promoted and deployed by hand has the image of the workspace, as by magics.
        page = self.serverapp.web_app.settings.setdefault("page_config_data", {})
        page["perijoveImage"] = image() or ""
        link(Path.home())
        make_room()

    async def _start_jupyter_server_extension(self, serverapp: Any) -> None:
        """Begin to report activity, where there is a control plane to hear it."""
        if self.upstream.missing is None and "JUPYTERHUB_USER" in os.environ:
            self.reporting = asyncio.create_task(self.reporter.run())

    async def stop_extension(self) -> None:
        """Stop reporting and close the connections to the control plane."""
        if self.reporting is not None:
            self.reporting.cancel()
            # To its end: threads that it used stop with it, and would else keep the process.
            with contextlib.suppress(asyncio.CancelledError):
                await self.reporting
        await self.upstream.close()

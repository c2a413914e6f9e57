"""What the status bar shows of this workspace: memory, and when it is shut off."""

from __future__ import annotations

from dataclasses import asdict

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web

from perijove.server import memory
from perijove.server.activity import ActivityReporter, server_name


class WorkspaceHandler(APIHandler):  # type: ignore[misc]
    """Serves ``/perijove/workspace``."""

    auth_resource = "perijove"
    #: Looking at an idle workspace does not make it busy.
    _track_activity = False

    def initialize(self, reporter: ActivityReporter) -> None:
        """Take what knows where the workspace stands."""
        self.reporter = reporter

    @web.authenticated
    @authorized  # type: ignore[untyped-decorator]
    async def get(self) -> None:
        """Return the server's name, its memory in MiB, and the last word on its idleness."""
        state = self.reporter.state
        self.finish(
            {
                "server": server_name(),
                "memory": asdict(memory.read()),
                "idle": state.model_dump(mode="json") if state else None,
            }
        )

    @web.authenticated
    @authorized  # type: ignore[untyped-decorator]
    async def post(self) -> None:
        """Take note that a person is at the keyboard: asking for it is what is noted."""
        self.set_status(204)
        self.finish()

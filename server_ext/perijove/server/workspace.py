"""What JupyterLab shows of this workspace: memory, its shut-off, kernels that are waited for."""

from __future__ import annotations

from dataclasses import asdict

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web

from perijove.kernels import waiting
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
        """Return name, memory in MiB, the last word on idleness, and kernels waited for."""
        state = self.reporter.state
        self.finish(
            {
                "server": server_name(),
                "memory": asdict(memory.read()),
                "idle": state.model_dump(mode="json") if state else None,
                "kernels": waiting.seen(),
            }
        )

    @web.authenticated
    @authorized  # type: ignore[untyped-decorator]
    async def post(self) -> None:
        """Take note that a person is at the keyboard: asking for it is what is noted."""
        self.set_status(204)
        self.finish()

"""Assemble the control plane's ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from perijove.types.base import Principal
from perijove_hub import __version__
from perijove_hub.api import oauth, problems
from perijove_hub.api.auth import Reader
from perijove_hub.catalog.routes import router as catalog
from perijove_hub.context import Context
from perijove_hub.culling.routes import router as culling
from perijove_hub.experiments.routes import router as experiments
from perijove_hub.files.routes import router as files
from perijove_hub.gpus.routes import router as gpus
from perijove_hub.identity import Identifier
from perijove_hub.images.routes import router as images
from perijove_hub.jobs.backfills.routes import router as backfills
from perijove_hub.jobs.export.routes import router as exports
from perijove_hub.jobs.notifications.routes import router as notifications
from perijove_hub.jobs.notifications.standin import StandIn
from perijove_hub.jobs.routes import router as jobs
from perijove_hub.jobs.run_routes import router as runs
from perijove_hub.jobs.schedule_routes import router as schedules
from perijove_hub.jobs.sweeps.routes import router as sweeps
from perijove_hub.jobs.version_routes import router as job_versions
from perijove_hub.kernels.routes import router as kernels
from perijove_hub.models.routes import router as models
from perijove_hub.secrets.routes import router as secrets
from perijove_hub.shares.routes import router as shares
from perijove_hub.usage.pages import router as pages
from perijove_hub.usage.routes import router as usage
from perijove_hub.workspaces.routes import router as workspaces

PREFIX = "/services/perijove"
API = f"{PREFIX}/api/v1"


class Apart:
    """Makes every answer without a policy of its own a page of no origin.

    Whoever opens it as a page of its own could else read it from any other page of this origin,
    and every workspace serves pages of this origin.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything through, with the header."""

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Content-Security-Policy", "sandbox; default-src 'none'")
            await send(message)

        await self.app(scope, receive, sending)


def create_app(context: Context | None) -> FastAPI:
    """Build the API; without a context it only describes itself, for ``openapi.json``."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if context is None:
            yield
            return
        told = StandIn(context)
        told.start()
        yield
        await run_in_threadpool(told.stop)
        await app.state.identifier.close()

    app = FastAPI(
        title="Perijove",
        version=__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        generate_unique_id_function=lambda route: route.name,
    )
    problems.install(app)
    app.add_middleware(Apart)
    for router in (
        backfills,
        catalog,
        culling,
        experiments,
        exports,
        files,
        gpus,
        images,
        jobs,
        job_versions,
        runs,
        schedules,
        kernels,
        models,
        notifications,
        secrets,
        shares,
        sweeps,
        usage,
        workspaces,
    ):
        app.include_router(router, prefix=API)
    app.include_router(pages, prefix=PREFIX)

    @app.get(f"{API}/whoami", tags=["identity"])
    async def whoami(principal: Reader) -> Principal:
        """Tell the caller who they are."""
        return principal

    @app.get(f"{PREFIX}/api/openapi.json", include_in_schema=False)
    async def openapi(principal: Reader) -> dict[str, Any]:
        return app.openapi()

    @app.get(f"{PREFIX}/api/health", include_in_schema=False)
    async def health() -> dict[str, str]:
        return {"status": "ok", "version": __version__}

    if context is not None:
        app.state.context = context
        app.state.identifier = Identifier(context.topology.hub_api_url, context.database)
        oauth.install(app, context, service="perijove", prefix=PREFIX)
    return app

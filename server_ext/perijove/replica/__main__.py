"""Serve one model: load it, listen, say where, answer until told to stop."""

from __future__ import annotations

import argparse
import json
import logging
import os
import socket
import sys
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from perijove.replica.app import create_app

log = logging.getLogger("perijove.replica")

#: Seconds that requests under way have to end after SIGTERM; less than a workload's grace.
DRAIN = 8


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status, 3 when the model cannot be loaded."""
    parser = argparse.ArgumentParser(prog="python -m perijove.replica", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="folder with an MLmodel file")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help="port; 0 for a free one")
    parser.add_argument("--announce", type=Path, help="file to write the address to once ready")
    parser.add_argument("--name", default="", help="refuse requests meant for another name")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    # What MLflow's own server sets, and what keeps its client from talking to anyone.
    os.environ.setdefault("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        from perijove.replica.arrays import WARNING
        from perijove.replica.model import Model

        warnings.filterwarnings("ignore", message=WARNING)
        model = Model(options.model)
    except Exception as error:
        log.exception("cannot load the model")
        cause = str(error).strip().splitlines() or [""]
        _announce(options.announce, {"error": f"{type(error).__name__}: {cause[0][:500]}"})
        return 3
    listener = socket.create_server((options.host, options.port), backlog=1024)
    address = f"{options.host}:{listener.getsockname()[1]}"

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        log.info("ready at %s", address)
        _announce(options.announce, {"address": address})
        yield

    config = uvicorn.Config(
        create_app(model, name=options.name, lifespan=lifespan),
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=DRAIN,
        timeout_keep_alive=75,
    )
    uvicorn.Server(config).run(sockets=[listener])
    return 0


def _announce(path: Path | None, document: dict[str, str]) -> None:
    """Write ``document`` in one step, so that a reader never sees half of it."""
    if path is None:
        return
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(document), encoding="utf-8")
    partial.replace(path)


if __name__ == "__main__":
    sys.exit(main())

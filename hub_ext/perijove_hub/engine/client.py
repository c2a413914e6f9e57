"""A connection to the Docker Engine, and one error for every way it can be away."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator

import docker
import requests
from docker.errors import APIError, DockerException

from perijove_hub.engine.exceptions import EngineDown

__all__ = ["EngineDown", "answers", "connect", "reaching"]

#: Where an engine listens when nothing else is said.
SOCKET = "unix:///var/run/docker.sock"
#: Seconds an ordinary question to the engine may take.
TIMEOUT = 60.0


def connect(timeout: float = TIMEOUT) -> docker.DockerClient:
    """Return a client of the engine ``DOCKER_HOST`` names. Raises ``EngineDown``."""
    with reaching():
        _knock()
        return docker.from_env(timeout=timeout)


def answers() -> bool:
    """Tell whether an engine answers here, within a few seconds."""
    try:
        client = connect(timeout=5)
    except EngineDown:
        return False
    client.close()
    return True


@contextlib.contextmanager
def reaching() -> Iterator[None]:
    """Turn whatever a lost engine raises into ``EngineDown``; its refusals stay ``APIError``."""
    try:
        yield
    except APIError:
        raise
    except (DockerException, requests.RequestException, OSError) as error:
        where = os.environ.get("DOCKER_HOST", SOCKET)
        raise EngineDown(
            f"no Docker engine answers at {where} ({_brief(error)}). Start it, or point "
            "DOCKER_HOST at it."
        ) from error


def _knock() -> None:
    """Try the socket first: the client leaves one open for each try that fails."""
    host = os.environ.get("DOCKER_HOST", SOCKET)
    if host.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as tried:
            tried.settimeout(5)
            tried.connect(host.removeprefix("unix://"))


def _brief(error: BaseException) -> str:
    """Find the operating system's own words below requests' and urllib3's."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError) and found.strerror:
            return found.strerror
        inner = [part for part in found.args if isinstance(part, BaseException)]
        found = inner[0] if inner else getattr(found, "reason", None) or found.__context__
    return type(error).__name__

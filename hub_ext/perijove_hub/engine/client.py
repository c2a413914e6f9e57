"""A connection to the Docker Engine, and one error for every way it can be away."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import docker
import requests
from docker.errors import APIError, DockerException

from perijove_hub.engine.exceptions import EngineDown

__all__ = ["EngineDown", "answers", "connect", "reaching"]

#: Seconds an ordinary question to the engine may take.
TIMEOUT = 60.0


def connect(timeout: float = TIMEOUT) -> docker.DockerClient:
    """Return a client of the engine ``DOCKER_HOST`` names. Raises ``EngineDown``."""
    with reaching():
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
        where = os.environ.get("DOCKER_HOST", "/var/run/docker.sock")
        raise EngineDown(
            f"no Docker engine answers at {where} ({_brief(error)}). Start it, or point "
            "DOCKER_HOST at it."
        ) from error


def _brief(error: BaseException) -> str:
    """Find the operating system's own words below requests' and urllib3's."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError) and found.strerror:
            return found.strerror
        inner = [part for part in found.args if isinstance(part, BaseException)]
        found = inner[0] if inner else getattr(found, "reason", None) or found.__context__
    return type(error).__name__

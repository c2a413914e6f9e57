"""Whether this machine can run Perijove's containers."""

from __future__ import annotations

from docker.errors import ImageNotFound

from perijove_hub.engine import firewall
from perijove_hub.engine.client import EngineDown, connect, reaching

#: Built by ``images/build``; what runs when nothing else is asked for.
IMAGE = "perijove/cpu:latest"


def why_not() -> str | None:
    """Return why containers cannot be used here and what to do; ``None`` when they can."""
    try:
        client = connect(timeout=5)
    except EngineDown as error:
        return str(error)
    try:
        with reaching():
            client.images.get(IMAGE)
    except EngineDown as error:
        return str(error)
    except ImageNotFound:
        return (
            f"the image {IMAGE} is not on this Docker engine. Build it with images/build from a "
            "checkout."
        )
    finally:
        client.close()
    return firewall.can_enforce()

"""The containers' network: one bridge per instance, on which nobody reaches a neighbour."""

from __future__ import annotations

from typing import Any

from docker.errors import APIError, NotFound

from perijove_hub.engine.client import connect, reaching
from perijove_hub.engine.names import Names
from perijove_hub.up.exceptions import StartError

_ICC = "com.docker.network.bridge.enable_icc"
_BRIDGE = "com.docker.network.bridge.name"


def ensure(names: Names) -> str:
    """Make the network if it is missing; return the host's address on it.

    Raises ``EngineDown``, and ``StartError`` for one of this name that is not as ours are.
    """
    client = connect()
    try:
        with reaching():
            network = _find(client, names) or _make(client, names)
    except APIError as error:
        raise StartError(
            f"the Docker network {names.network} cannot be made: {error.explanation}"
        ) from None
    finally:
        client.close()
    options, ipam = network.attrs["Options"], network.attrs["IPAM"]["Config"]
    wrong = (
        options.get(_ICC) != "false"
        or options.get(_BRIDGE) != names.bridge
        or network.attrs["EnableIPv6"]
    )
    if wrong:
        raise StartError(
            f"the Docker network {names.network} was not made by Perijove: containers on it "
            f"would reach each other. Remove it (docker network rm {names.network})."
        )
    return str(ipam[0]["Gateway"])


def remove(names: Names) -> bool:
    """Remove the network; false when containers still run on it. Raises ``EngineDown``."""
    client = connect()
    try:
        with reaching():
            network = _find(client, names)
            if network is not None:
                network.remove()
    except NotFound:
        return True
    except APIError:
        return False
    finally:
        client.close()
    return True


def _find(client: Any, names: Names) -> Any | None:
    # By listing, because get() takes an id's beginning for a name too.
    for network in client.networks.list(names=[names.network]):
        if network.name == names.network:
            return client.networks.get(network.id)
    return None


def _make(client: Any, names: Names) -> Any:
    try:
        network = client.networks.create(
            names.network,
            driver="bridge",
            options={_ICC: "false", _BRIDGE: names.bridge},
            labels=names.labels,
            enable_ipv6=False,
            check_duplicate=True,
        )
    except APIError as error:
        if error.status_code != 409 or (found := _find(client, names)) is None:
            raise
        return found
    # What create returns lacks the addresses.
    return client.networks.get(network.id)

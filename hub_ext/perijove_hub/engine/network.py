"""The containers' network: one bridge per instance, on which nobody reaches a neighbour."""

from __future__ import annotations

import ipaddress
import secrets
from typing import Any

from docker.errors import APIError, NotFound
from docker.types import IPAMConfig, IPAMPool

from perijove_hub.engine.client import connect, reaching
from perijove_hub.engine.names import Names
from perijove_hub.up.exceptions import StartError

_ICC = "com.docker.network.bridge.enable_icc"
_BRIDGE = "com.docker.network.bridge.name"
#: The label of a network in which addresses can be chosen.
_CHOSEN = "perijove.addresses"
#: How often a range is asked for that somebody else takes at the same moment.
_TRIES = 10


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
        or _CHOSEN not in network.attrs["Labels"]
    )
    if wrong:
        raise StartError(
            f"the Docker network {names.network} was not made by this Perijove: containers on it "
            f"would reach each other. Remove it (docker network rm {names.network})."
        )
    return str(ipam[0]["Gateway"])


def place(api: Any, name: str) -> dict[str, Any]:
    """Return ``networking_config`` for a new container on our network ``name``.

    Its address is one that nobody has, at random. The engine itself would give it what the last
    container has left, and whoever still talks to that one (the proxy to a workspace that has
    died, the gateway to a replica) would talk to another user's.
    """
    found = api.inspect_network(name)
    [config] = found["IPAM"]["Config"]
    addresses = ipaddress.IPv4Network(config["Subnet"])
    held = [one["IPv4Address"].partition("/")[0] for one in found["Containers"].values()]
    taken = {config["Gateway"], *held}
    for _ in range(1000):
        # Neither the first, which is the network's, nor the last, which is everybody's.
        chosen = str(addresses[1 + secrets.randbelow(addresses.num_addresses - 2)])
        if chosen not in taken:
            endpoint = api.create_endpoint_config(ipv4_address=chosen)
            return dict(api.create_networking_config({name: endpoint}))
    raise APIError(f"the addresses of {name} ({addresses}) are used up")


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
    for left in reversed(range(_TRIES)):
        try:
            network = client.networks.create(
                names.network,
                driver="bridge",
                options={_ICC: "false", _BRIDGE: names.bridge},
                labels={**names.labels, _CHOSEN: ""},
                enable_ipv6=False,
                check_duplicate=True,
                ipam=IPAMConfig(pool_configs=[_range(client, names)]),
            )
        except APIError as error:
            if error.status_code == 409 and (found := _find(client, names)) is not None:
                return found
            if not left or "overlap" not in str(error.explanation):
                raise
        else:
            # What create returns lacks the addresses.
            return client.networks.get(network.id)
    raise AssertionError("the last try returns or raises")


def _range(client: Any, names: Names) -> IPAMPool:
    """Find a range that is free here: the one the engine gives to a network that names none.

    Only in a range that was asked for may a container ask for its address.
    """
    given = client.networks.create(f"{names.network}-{secrets.token_hex(4)}", driver="bridge")
    try:
        [config] = client.networks.get(given.id).attrs["IPAM"]["Config"]
    finally:
        given.remove()
    return IPAMPool(subnet=config["Subnet"], gateway=config["Gateway"])

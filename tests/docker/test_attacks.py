"""What a user tries against others: each attempt was made for real, and got through once."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from pathlib import Path

import pytest

from perijove_hub.context import Context
from perijove_hub.engine import Names, firewall, network
from perijove_hub.engine.client import connect
from perijove_hub.launch import Kind, Phase, Workload
from perijove_hub.launch.docker import DockerLauncher
from perijove_hub.up.exceptions import StartError
from tests.launch.conftest import contained_context, until

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def context(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    """A closed network with nothing on it."""
    context = contained_context(tmp_path_factory.mktemp("attacks") / "data")
    yield context
    names = Names.of(context.data.root)
    assert network.remove(names)
    firewall.lift(names)


@pytest.fixture
def launcher(context: Context) -> Iterator[DockerLauncher]:
    launcher = DockerLauncher(context)
    yield launcher
    for status in launcher.list():
        launcher.stop(status.name)
    until(lambda: all(one.phase is not Phase.running for one in launcher.list()))
    for status in launcher.list():
        launcher.remove(status.name)
    launcher.close()


def address(launcher: DockerLauncher, name: str) -> str:
    """Start something that waits, and return its address."""
    launcher.start(Workload(name, Kind.service, ("sleep", "600"), memory_mb=64, grace_s=0))
    found = launcher.poll(name).address
    assert found is not None
    return found


def test_nobody_is_given_the_address_of_one_who_has_just_died(launcher: DockerLauncher) -> None:
    # The proxy, the gateway and the kernels' tunnels go on talking to it until they are told.
    left = address(launcher, "victim")
    connection = connect()
    try:
        connection.api.kill(launcher._container("victim"))
        until(lambda: launcher.poll("victim").phase is not Phase.running)
    finally:
        connection.close()
    assert left not in [address(launcher, f"mallory-{number}") for number in range(3)]


def test_an_address_that_is_taken_is_not_chosen(
    context: Context, launcher: DockerLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names.of(context.data.root)
    held = address(launcher, "first")
    connection = connect()
    try:
        [range_] = connection.api.inspect_network(names.network)["IPAM"]["Config"]
        base = ipaddress.IPv4Network(range_["Subnet"]).network_address
        place = int(ipaddress.IPv4Address(held)) - int(base) - 1
        tried = iter([0, place, place - 1 or 1])
        monkeypatch.setattr(network.secrets, "randbelow", lambda _: next(tried))
        found = network.place(connection.api, names.network)
    finally:
        connection.close()
    [endpoint] = found["EndpointsConfig"].values()
    assert endpoint["IPAMConfig"]["IPv4Address"] != held
    # Both the host's own address and the neighbour's were passed over.
    assert next(tried, None) is None


def test_nothing_starts_where_bridges_pass_the_firewall_by(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names.of(context.data.root)
    assert firewall.in_force(names)
    turned_off = tmp_path / "bridge-nf-call-iptables"
    for content in ("0\n", None):
        turned_off.unlink(missing_ok=True)
        if content is not None:
            turned_off.write_text(content)
        monkeypatch.setattr(firewall, "_BRIDGED", turned_off)
        assert not firewall.in_force(names)
        with pytest.raises(StartError, match=r"sysctl -w net.bridge.bridge-nf-call-iptables=1"):
            firewall.enforce(names, context.topology, [])

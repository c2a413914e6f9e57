"""Nobody gets out of a container: tried from inside, from the host, and from beyond."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from perijove_hub.context import Context, Topology
from perijove_hub.engine import Names, firewall, network
from perijove_hub.engine.duty import FirewallDuty
from tests.docker.attempts import BEYOND, Row, attempts

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def rows(image: str, tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    return attempts(tmp_path_factory.mktemp("isolation"))


def test_every_attempt_comes_out_as_it_has_to(rows: list[Row]) -> None:
    assert [row for row in rows if not row.held] == []
    assert len(rows) == 41 and len({row.attempt for row in rows}) == len(rows)


def test_what_must_work_from_inside_works(rows: list[Row]) -> None:
    assert {row.attempt for row in rows if row.expected == "done"} == {
        "reach the API, at the port for containers",
        "reach the internet (a public address)",
        "reach an address in network.allow",
        "write in /workload",
        "write in /tmp",
        "the host reaches a container",
    }


def test_the_same_attempts_get_through_without_the_firewall(image: str, tmp_path: Path) -> None:
    # So that the table above shows what the rules do, and not what is unreachable anyway.
    open_rows = {row.attempt: row.outcome for row in attempts(tmp_path, closed=False)}
    by_the_firewall = [
        *(f"reach {place}" for place in BEYOND),
        "reach an allowed address, at another port",
        "reach the host, on the bridge's address",
        "reach the host, on all its addresses",
        "reach the host, at another of its addresses",
        "reach a part, at the port it listens on",
    ]
    assert {name: open_rows[name] for name in by_the_firewall} == dict.fromkeys(
        by_the_firewall, "done: hello"
    )


@pytest.fixture
def closed(engine: None, tmp_path: Path) -> Iterator[tuple[Context, Names]]:
    """A closed network with nothing on it."""
    context = Context.open(tmp_path / "data", None)
    names = Names.of(context.data.root)
    host = network.ensure(names)
    topology = Topology(
        public_url="http://127.0.0.1:8000",
        hub_api_url=f"http://{host}:18081/hub/api",
        host=host,
        api_port=18010,
        mlflow_port=18011,
        gateway_port=18012,
        spawner="docker",
    )
    topology.save(context.data.run / "topology.json")
    firewall.enforce(names, topology, [])
    yield context, names
    firewall.lift(names)
    network.remove(names)


def ruleset(*, without: str) -> str:
    """Return the host's rules but those of the table ``without``, and without counters."""
    listed = subprocess.run(["nft", "-s", "list", "tables"], capture_output=True, text=True)
    tables = [line for line in listed.stdout.splitlines() if without not in line]
    # Tables of tests that run beside this one come and go.
    tables = [line for line in tables if "perijove_" not in line]
    return "".join(
        subprocess.run(
            ["nft", "-s", "list", *line.split()], capture_output=True, text=True, check=True
        ).stdout
        for line in tables
    )


def test_nothing_else_on_the_host_is_touched(closed: tuple[Context, Names]) -> None:
    context, names = closed
    before = ruleset(without=names.key)
    firewall.enforce(names, context.topology, ["10.1.2.3:5432"])
    own = subprocess.run(
        ["nft", "-s", "list", "table", "inet", f"perijove_{names.key}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rules = [line for line in own.splitlines() if "ifname" in line]
    # Every rule begins with our own bridge, so no packet of anybody else's meets any.
    assert len(rules) > 20
    assert all(line.split()[:2][1] == f'"{names.bridge}"' for line in rules)
    statements = ("accept", "drop", "redirect")
    assert [line for line in own.splitlines() if any(f" {s}" in line for s in statements)] == [
        line
        for line in own.splitlines()
        if line in rules or line.strip().endswith("policy accept;")
    ]
    firewall.lift(names)
    assert ruleset(without=names.key) == before


def test_a_table_that_was_removed_or_cut_comes_back(closed: tuple[Context, Names]) -> None:
    context, names = closed
    duty, name = FirewallDuty(context), f"perijove_{names.key}"
    for harm in (
        ["delete", "table", "inet", name],
        ["flush", "chain", "inet", name, "forward"],
        ["delete", "chain", "inet", name, "input"],
    ):
        subprocess.run(["nft", "flush", "chain", "inet", name, "input"], check=True)
        subprocess.run(["nft", *harm], check=True)
        assert not firewall.in_force(names)
        duty.tick()
        assert firewall.in_force(names)


def test_a_network_of_that_name_that_is_not_ours_is_refused(engine: None, tmp_path: Path) -> None:
    from perijove_hub.engine.client import connect
    from perijove_hub.up.exceptions import StartError

    names = Names.of(tmp_path)
    client = connect()
    made = client.networks.create(names.network)
    try:
        with pytest.raises(StartError, match=f"docker network rm {names.network}"):
            network.ensure(names)
    finally:
        made.remove()
        client.close()


def test_without_root_it_says_so(closed: tuple[Context, Names]) -> None:
    from perijove_hub.up.exceptions import StartError

    context, names = closed

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(subprocess, "run", as_nobody(subprocess.run))
        assert not firewall.in_force(names)
        with pytest.raises(StartError, match="only root"):
            firewall.enforce(names, context.topology, [])


def as_nobody(run):  # type: ignore[no-untyped-def]
    """Run commands as somebody without rights."""
    return lambda *arguments, **more: run(*arguments, user=65534, **more)

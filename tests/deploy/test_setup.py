"""`perijove setup` and `perijove teardown`, any number of times and in any order."""

from __future__ import annotations

import os
from pathlib import Path

import docker
import pytest
from click.testing import CliRunner, Result

from perijove_hub.cli.main import cli
from perijove_hub.context import Topology
from perijove_hub.engine import Names, firewall

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


@pytest.mark.skipif(os.geteuid() != 0, reason="the firewall is for root")
def test_it_sets_up_again_after_a_teardown_and_moves_only_when_it_must(
    images: None, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    names = Names.of(data)
    try:
        topologies = []
        for url in ("https://a.example", "https://a.example", "https://b.example"):
            done = run("setup", "--url", url, "--data-dir", data)
            assert done.exit_code == 0, done.output
            assert firewall.in_force(names)
            topologies.append(Topology.load(data / "run" / "topology.json"))
        assert topologies[0] == topologies[1]
        assert topologies[2].public_url == "https://b.example"
        assert topologies[2].ports == topologies[0].ports
        for _ in range(2):
            assert run("teardown", "--data-dir", data).exit_code == 0
            assert not firewall.in_force(names)
        assert run("setup", "--url", "https://b.example", "--data-dir", data).exit_code == 0
        assert firewall.in_force(names)
    finally:
        assert run("teardown", "--data-dir", data).exit_code == 0
    client = docker.from_env()
    assert not client.networks.list(names=[names.network])
    client.close()


def test_without_an_engine_or_a_setup_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run("teardown", "--data-dir", tmp_path / "data")
    assert done.exit_code == 1
    assert "Perijove was never set up in" in done.output
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    done = run("setup", "--url", "https://a.example", "--data-dir", tmp_path / "data")
    assert done.exit_code == 1
    assert f"no Docker engine answers at unix://{tmp_path}/none.sock" in done.output

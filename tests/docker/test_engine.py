"""What is said of an engine: whether it answers, can limit disks, and what layers hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from perijove_hub.engine import client, disk, ready
from perijove_hub.engine.allow import Allowed
from perijove_hub.engine.exceptions import EngineDown
from perijove_hub.settings import SettingsError, load

docker = pytest.mark.docker


@pytest.fixture
def connection(engine: None) -> Iterator[Any]:
    found = client.connect()
    yield found
    found.close()


@docker
def test_a_layer_holds_what_was_written_in_it(image: str, connection: Any) -> None:
    command = ["sh", "-c", "head -c 3000000 /dev/zero > /tmp/x"]
    container = connection.containers.create(image, entrypoint=command, network_mode="none")
    try:
        container.start()
        container.wait()
        assert disk.layer_bytes(connection, container.id) >= 3_000_000
    finally:
        container.remove(force=True)
    assert disk.layer_bytes(connection, "f" * 64) == 0


@docker
def test_this_engines_limit_is_used_exactly_when_it_has_one(image: str, connection: Any) -> None:
    options = disk.storage_options(connection.info(), 500)
    wanted = options or {"size": "500m"}
    host = connection.api.create_host_config(storage_opt=wanted)
    try:
        made = connection.api.create_container(image, host_config=host)
    except client.docker.errors.APIError:
        assert options is None
    else:
        connection.api.remove_container(made)
        assert options is not None


@pytest.mark.parametrize(
    ("info", "limits"),
    [
        ({"Driver": "btrfs"}, True),
        ({"Driver": "overlay2", "DriverStatus": [["Backing Filesystem", "extfs"]]}, False),
        # XFS, but mounted without project quotas, as this machine's root is.
        ({"Driver": "overlay2", "DriverStatus": [["Backing Filesystem", "xfs"]]}, False),
        ({"Driver": "vfs"}, False),
    ],
)
def test_only_drivers_that_can_are_asked_to(info: dict[str, Any], limits: bool) -> None:
    assert disk.storage_options(info, 500) == ({"size": "500m"} if limits else None)
    assert disk.storage_options(info, None) is None


def test_an_engine_that_is_not_there_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none")
    assert not client.answers()
    with pytest.raises(EngineDown, match=f"{tmp_path}/none .No such file or directory."):
        client.connect()
    why = ready.why_not()
    assert why is not None and "Start it" in why


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("db.corp:5432", "ADDRESS"),
        ("10.0.0.5/24", "write 10.0.0.0/24"),
        ("10.0.0.1:99999", "ports go from 1 to 65535"),
        ("fe80::1", "no IPv6"),
        ("10.0.0.300", "10.0.0.300"),
        ("10.0.0.1; flush ruleset", "ADDRESS"),
    ],
)
def test_an_entry_of_network_allow_is_checked_when_the_settings_are_read(
    tmp_path: Path, entry: str, said: str
) -> None:
    settings = tmp_path / "perijove.toml"
    settings.write_text(f'[network]\nallow = ["10.1.2.3", "{entry}"]\n')
    with pytest.raises(SettingsError, match=r"perijove.toml:2: network.allow.1: ") as refused:
        load(settings)
    assert said in str(refused.value)


def test_entries_of_network_allow_are_read() -> None:
    assert str(Allowed.parse("10.1.0.0/16").network) == "10.1.0.0/16"
    assert Allowed.parse("10.1.2.3:5432").port == 5432

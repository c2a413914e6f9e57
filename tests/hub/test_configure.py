"""``configure(c)`` adds to an operator's Hub and takes nothing away."""

from __future__ import annotations

from pathlib import Path

import pytest
from traitlets.config import Config

from perijove_hub.access import VERBS, scope
from perijove_hub.hub import configure
from perijove_hub.settings import SettingsError


def config(tmp_path: Path) -> Config:
    c = Config()
    c.JupyterHub.bind_url = "http://127.0.0.1:8000"
    c.JupyterHub.services = [{"name": "cull", "command": ["cull"]}]
    c.JupyterHub.load_roles = [{"name": "user", "scopes": ["self", "shares!user"]}]
    c.Spawner.environment = {"TEAM": "blue"}
    configure(c, data_dir=str(tmp_path / "data"))
    return c


def test_the_operators_own_services_roles_and_environment_stay(tmp_path: Path) -> None:
    c = config(tmp_path)
    assert [service["name"] for service in c.JupyterHub.services] == [
        "cull",
        "perijove",
        "mlflow",
        "serve",
        "perijove-cli",
        "perijove-metrics",
    ]
    user = next(role for role in c.JupyterHub.load_roles if role["name"] == "user")
    assert {"self", "shares!user", *map(scope, VERBS)} <= set(user["scopes"])
    assert c.Spawner.environment["TEAM"] == "blue"
    assert c.Spawner.environment["PERIJOVE_URL"].endswith("/services/perijove")


def test_stopping_the_hub_leaves_servers_alone_and_tokens_end(tmp_path: Path) -> None:
    c = config(tmp_path)
    assert c.JupyterHub.cleanup_servers is False
    assert 0 < c.JupyterHub.token_expires_in_max_seconds <= 365 * 86_400


def test_the_authenticator_and_spawner_are_the_operators(tmp_path: Path) -> None:
    c = config(tmp_path)
    assert "authenticator_class" not in c.JupyterHub
    assert "spawner_class" not in c.JupyterHub


def test_every_service_token_is_its_own_and_secret_on_disk(tmp_path: Path) -> None:
    c = config(tmp_path)
    tokens = [s["api_token"] for s in c.JupyterHub.services if "api_token" in s]
    assert len(set(tokens)) == len(tokens) == 5
    for path in (tmp_path / "data" / "secrets").iterdir():
        assert path.stat().st_mode & 0o077 == 0


def test_services_get_the_hub_rights_they_need_and_no_more(tmp_path: Path) -> None:
    roles = {role["name"]: role for role in config(tmp_path).JupyterHub.load_roles}
    granted = {s: r["scopes"] for r in roles.values() for s in r.get("services", [])}
    assert "serve" not in granted
    assert "mlflow" not in granted
    assert granted["perijove"] == [
        "access:services!service=mlflow",
        "read:users:name",
        "read:users:groups",
        "list:users",
        "read:servers",
        "delete:servers",
    ]


def test_without_a_data_directory_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PERIJOVE_DATA_DIR", raising=False)
    with pytest.raises(SettingsError, match="data_dir="):
        configure(Config())

"""Secrets from Python, the command line and in a notebook."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from click.testing import CliRunner, Result

import perijove
from perijove import secrets
from perijove.exceptions import ApiError, PerijoveError
from perijove.runner.parameters import inspect
from perijove.runner.translator import Translator, as_declared
from perijove_hub.backup.restore import restore
from perijove_hub.backup.save import save
from perijove_hub.cli.secrets import secrets as command
from perijove_hub.context import Context
from perijove_hub.settings import Settings
from tests.fixtures.api import Api
from tests.secrets.test_secrets import READING, VALUE, opened, put


@pytest.fixture
def connected(api: Api, monkeypatch: pytest.MonkeyPatch) -> Api:
    """An environment like that of ada's workspace."""
    monkeypatch.setenv("PERIJOVE_URL", api.url.removesuffix("/api/v1"))
    monkeypatch.setenv("PERIJOVE_TOKEN", api.hub.token("ada"))
    return api


def run(*arguments: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(command, arguments, input=typed)


def test_python_keeps_lists_and_deletes(connected: Api) -> None:
    kept = secrets.put("API_KEY", VALUE)
    assert [one.name for one in secrets.list()] == [kept.name] == ["API_KEY"]
    assert opened(connected.context) == VALUE
    secrets.delete("API_KEY")
    assert secrets.list() == []
    with pytest.raises(ApiError, match="no such secret"):
        secrets.delete("API_KEY")
    with pytest.raises(ApiError, match="capital letters"):
        secrets.put("lower", VALUE)
    with pytest.raises(PerijoveError, match="is text"):
        secrets.put("API_KEY", 5)  # type: ignore[arg-type]


def test_the_command_line_reads_values_from_standard_input_only(connected: Api) -> None:
    done = run("set", "API_KEY", typed=f"{VALUE}\n")
    assert done.exit_code == 0, done.output
    assert VALUE not in done.output
    assert opened(connected.context) == VALUE
    assert "API_KEY  20" in run("list").output
    (listed,) = json.loads(run("list", "--json").output)
    assert listed["name"] == "API_KEY"
    assert run("delete", "API_KEY").exit_code == 0
    assert "No secrets yet" in run("list").output
    assert run("set", "API_KEY", VALUE).exit_code == 2


def test_a_line_break_inside_a_value_stays(connected: Api) -> None:
    run("set", "PEM", typed="-----BEGIN-----\nabc\n-----END-----\n")
    assert opened(connected.context, name="PEM") == "-----BEGIN-----\nabc\n-----END-----"


def test_a_notebook_reads_a_secret_from_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERIJOVE_SECRET_API_KEY", VALUE)
    assert perijove.secret("API_KEY") == VALUE
    monkeypatch.setenv("PERIJOVE_RUN_ID", "r")
    with pytest.warns(UserWarning, match="not given the secret 'OTHER'"):
        assert perijove.secret("OTHER") == ""
    with pytest.raises(PerijoveError, match="not the name") as caught:
        perijove.secret(VALUE)
    assert VALUE not in str(caught.value)


def test_by_hand_a_secret_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PERIJOVE_RUN_ID", raising=False)
    monkeypatch.setattr("getpass.getpass", lambda prompt: f"typed at {prompt}")
    assert perijove.secret("API_KEY") == "typed at API_KEY: "


def test_declaring_a_secret_imports_nothing_heavy() -> None:
    code = (
        "import sys, perijove; token: perijove.Secret = 'x'; perijove.secret\n"
        "print(sorted({'pydantic', 'httpx', 'cryptography'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("given", "variable"), [({}, "API_KEY"), ({"token": "OTHER_KEY"}, "OTHER_KEY")]
)
def test_the_injected_cell_reads_the_environment(
    given: dict[str, Any], variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"PERIJOVE_SECRET_{variable}", VALUE)
    source = Translator.codify(as_declared(inspect(READING).parameters, given))
    assert VALUE not in source
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    assert namespace["token"] == VALUE


def test_a_secret_left_empty_is_none() -> None:
    nullable = READING | {"cells": [READING["cells"][0] | {"source": "t: Secret | None = 'A'"}]}
    source = Translator.codify(as_declared(inspect(nullable).parameters, {"t": None}))
    assert "t = None" in source
    assert "environ" not in source


def test_a_backup_has_what_opens_secrets(context: Context, tmp_path: Any) -> None:
    put(context)
    (context.data.run / "topology.json").write_text("{}", encoding="utf-8")
    save(context, tmp_path / "backup.tar", homes=False, say=lambda _: None)
    restore(tmp_path / "backup.tar", tmp_path / "new", Settings())
    back = Context.open(tmp_path / "new", None)
    assert opened(back) == VALUE
    back.database.close()

"""What a user mistypes is said in one line, with status 1 or 2 and without a traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from perijove.client import Client
from perijove.exceptions import NotConfigured
from perijove_hub.cli.main import main
from tests.fixtures.api import Api
from tests.jobs.conftest import TUTORIAL

#: Runs a command; gives its status and what it wrote to standard error.
Perijove = Callable[..., tuple[int, str]]


@pytest.fixture
def perijove(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Perijove:
    monkeypatch.setenv("PERIJOVE_URL", "http://127.0.0.1:1/services/perijove")
    monkeypatch.setenv("PERIJOVE_TOKEN", "0" * 32)

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["perijove", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), capsys.readouterr().err

    return run


@pytest.fixture
def notebook(tmp_path: Path) -> str:
    path = tmp_path / "tutorial.ipynb"
    path.write_text(json.dumps(TUTORIAL))
    return str(path)


@pytest.mark.parametrize("url", ["somewhere", "http://[::1", "ftp://host/", "http://"])
def test_an_address_that_is_none_is_named(
    perijove: Perijove, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("PERIJOVE_URL", url)
    status, said = perijove("jobs", "list")
    assert status == 1
    assert f"PERIJOVE_URL is '{url}'" in said


@pytest.mark.parametrize("token", ["s3cr\nt-token", "s3crét-token"])
def test_a_token_that_is_none_is_never_shown(
    perijove: Perijove, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("PERIJOVE_TOKEN", token)
    status, said = perijove("jobs", "list")
    assert status == 1
    assert "PERIJOVE_TOKEN is no token" in said
    assert "s3cr" not in said


def test_the_line_end_of_a_file_is_no_part_of_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERIJOVE_TOKEN", "0" * 32 + "\r\n")
    Client("http://127.0.0.1:1/services/perijove").close()
    monkeypatch.setenv("PERIJOVE_TOKEN", " ")
    monkeypatch.delenv("JUPYTERHUB_API_TOKEN", raising=False)
    with pytest.raises(NotConfigured, match="export PERIJOVE_TOKEN"):
        Client("http://127.0.0.1:1/services/perijove")


def test_what_answers_and_is_not_perijove_is_said_to_be_that(
    api: Api, perijove: Perijove, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The Hub sends whoever has no business there to its login page.
    monkeypatch.setenv("PERIJOVE_URL", api.hub.api_url.removesuffix("/api") + "/home?")
    status, said = perijove("jobs", "list")
    assert status == 1
    assert "Check the address" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--memory-mb", "1"], "--memory-mb is wrong: input should be greater than or equal to 64"),
        (["--param", "C=1"], "add --schedule"),
        (["--timezone", "Mars"], "add --schedule"),
    ],
)
def test_options_of_a_promotion_that_make_no_sense_are_refused(
    perijove: Perijove, notebook: str, arguments: list[str], words: str
) -> None:
    status, said = perijove("jobs", "create", notebook, *arguments)
    assert status in (1, 2)
    assert words in said


def test_a_name_that_is_none_comes_with_the_rule(perijove: Perijove) -> None:
    status, said = perijove("models", "deploy", "m", "--version", "1", "--name", "A b")
    assert status == 1
    assert said.startswith("perijove: 'name' cannot be 'A b'. Use lower-case letters")


def test_a_file_nested_without_end_is_no_notebook(perijove: Perijove, tmp_path: Path) -> None:
    path = tmp_path / "deep.ipynb"
    path.write_text("[" * 100_000)
    status, said = perijove("jobs", "create", str(path))
    assert status == 1
    assert "is not a notebook" in said


def test_a_run_named_by_a_path_reaches_no_other_address(
    api: Api, perijove: Perijove, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERIJOVE_URL", api.url.removesuffix("/api/v1"))
    monkeypatch.setenv("PERIJOVE_TOKEN", api.hub.token("ada"))
    for command in (["jobs", "logs", "x", "--run", "../whoami"], ["runs", "show", "../whoami"]):
        status, said = perijove(*command)
        assert status == 1
        assert "nothing at this address" in said

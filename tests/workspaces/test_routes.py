"""Workspaces and sizes over the API and on the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from perijove_hub.cli.main import cli
from perijove_hub.settings import SizeSettings
from perijove_hub.store.models import WorkspaceRow, utcnow
from tests.fixtures.api import Api


@pytest.fixture
def seen(api: Api) -> Iterator[Api]:
    """ada's workspace runs, and one of grace's ran out of memory."""
    sizes = api.context.settings.workspaces.sizes
    sizes["gpu"] = SizeSettings(gpus=1, price=2, groups=["risk"])
    choice = {"image": "cpu", "runs": "cpu@3", "digest": "sha256:1", "size": "small"}
    with api.context.database.session() as session:
        session.add(WorkspaceRow(user="ada", choice=choice, started_at=utcnow()))
        session.add(
            WorkspaceRow(
                user="grace",
                server="big",
                choice={"size": "large"},
                started_at=utcnow(),
                ended_at=utcnow(),
                ending="It ran out of memory.",
            )
        )
    yield api
    del sizes["gpu"]


def test_people_see_their_own_and_administrators_all(seen: Api) -> None:
    with seen.client("ada") as ada, seen.client("grace") as grace, seen.client("admin") as admin:
        [mine] = ada.get("/workspaces").json()["items"]
        [theirs] = grace.get("/workspaces").json()["items"]
        assert [one["user"] for one in admin.get("/workspaces").json()["items"]] == ["ada", "grace"]
    assert (mine["running"], mine["image"], mine["digest"]) == (True, "cpu@3", "sha256:1")
    assert (theirs["running"], theirs["ending"]) == (False, "It ran out of memory.")


def test_the_list_pages(seen: Api) -> None:
    with seen.client("admin") as admin:
        first = admin.get("/workspaces", params={"limit": 1}).json()
        rest = admin.get("/workspaces", params={"cursor": first["next_cursor"]}).json()
    assert [one["user"] for one in first["items"] + rest["items"]] == ["ada", "grace"]
    assert rest["next_cursor"] is None


def test_people_see_the_sizes_that_are_theirs(seen: Api) -> None:
    with seen.client("ada") as ada, seen.client("grace") as grace:
        mine, theirs = ada.get("/workspaces/sizes").json(), grace.get("/workspaces/sizes").json()
    assert [size["name"] for size in mine["items"]] == ["small", "medium", "large"]
    assert [size["name"] for size in theirs["items"]][-1] == "gpu"
    assert [size["name"] for size in mine["items"] if size["default"]] == ["small"]
    assert (mine["gpus"], mine["free_gpus"], mine["currency"]) == (0, 0, "EUR")


def test_the_command_line_says_the_same(seen: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERIJOVE_URL", seen.url.removesuffix("/api/v1"))
    monkeypatch.setenv("PERIJOVE_TOKEN", seen.hub.token("grace"))

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(cli, ["workspaces", *arguments])
        assert done.exit_code == 0, done.output
        return done.output

    assert "grace/big" in run("list")
    assert "ran out of memory" in run("show")
    assert json.loads(run("show", "big", "--json"))["size"] == "large"
    assert "2.00" in run("sizes")
    assert json.loads(run("list", "--json"))[0]["user"] == "grace"
    missing = CliRunner().invoke(cli, ["workspaces", "show", "gone"])
    assert missing.exit_code == 2
    assert "grace/big" in missing.output


def test_people_stop_their_own_that_run_and_no_other(seen: Api) -> None:
    with seen.client("grace") as grace:
        # ada's is the default one too; grace has only 'big', which has ended.
        for server in ("", "big"):
            refused = grace.post("/workspaces/stop", json={"server": server})
            assert (refused.status_code, refused.json()["fix"]) == (
                404,
                "Look at the Hub's home page.",
            )
    with seen.client("ada") as ada:
        assert ada.post("/workspaces/stop", json={"server": ""}).status_code == 202

"""Checkpoints: two people, each with a Jupyter server, one notebook in a shared folder."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.server.conftest import Workspaces

SHARED = "shared/report.ipynb"


@dataclass
class Two:
    """ada's and grace's browsers, and where things are."""

    ada: httpx.Client
    grace: httpx.Client
    root: Path

    @property
    def team(self) -> Path:
        """The shared folder."""
        return self.root / "team"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    """Two servers whose homes link to one folder."""
    root = tmp_path_factory.mktemp("two")
    (root / "team").mkdir()
    with contextlib.ExitStack() as stack:
        clients = []
        for user in ("ada", "grace"):
            (root / user).mkdir()
            running = contextlib.contextmanager(Workspaces(root / user).running)
            workspace = stack.enter_context(running({}))
            (root / user / "home" / "shared").symlink_to(root / "team")
            clients.append(stack.enter_context(workspace.browser()))
        yield Two(*clients, root)


@pytest.fixture
def two(servers: Two) -> Two:
    """The same, with nothing in the shared folder or kept."""
    for place in servers.team.iterdir():
        place.unlink()
    for client in (servers.ada, servers.grace):
        for path in (SHARED, "mine.ipynb", "work/a.ipynb"):
            for one in client.get(f"api/contents/{path}/checkpoints").json():
                client.delete(f"api/contents/{path}/checkpoints/{one['id']}").raise_for_status()
    return servers


def notebook(text: str) -> dict[str, Any]:
    cell = {"id": "a", "cell_type": "markdown", "metadata": {}, "source": text}
    return {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def save(client: httpx.Client, path: str, text: str) -> dict[str, Any]:
    model = {"type": "notebook", "format": "json", "content": notebook(text)}
    saved = client.put(f"api/contents/{path}", json=model)
    assert saved.status_code < 300, saved.text
    return dict(saved.json())


def text_of(client: httpx.Client, path: str) -> str:
    found = client.get(f"api/contents/{path}", params={"content": 1}).json()
    return str(found["content"]["cells"][0]["source"])


def checkpoints(client: httpx.Client, path: str) -> list[dict[str, Any]]:
    return list(client.get(f"api/contents/{path}/checkpoints").json())


def keep(client: httpx.Client, path: str) -> None:
    made = client.post(f"api/contents/{path}/checkpoints")
    assert made.status_code == 201, made.text
    assert made.headers["location"].endswith("/checkpoints/checkpoint")


def test_both_save_and_keep_and_nothing_else_appears_beside_the_file(two: Two) -> None:
    save(two.ada, SHARED, "ada's")
    keep(two.ada, SHARED)
    save(two.grace, SHARED, "grace's")
    keep(two.grace, SHARED)
    assert [path.name for path in two.team.iterdir()] == ["report.ipynb"]
    kept = {
        user: (two.root / user / "home/.local/share/perijove/checkpoints")
        for user in ("ada", "grace")
    }
    for user, folder in kept.items():
        (one,) = folder.glob("*/checkpoint")
        assert f"{user}'s" in one.read_text()
        assert one.parent.stat().st_mode & 0o077 == 0


def test_each_returns_to_their_own_checkpoint(two: Two) -> None:
    save(two.ada, SHARED, "first")
    keep(two.ada, SHARED)
    save(two.grace, SHARED, "second")
    keep(two.grace, SHARED)
    inode = (two.team / "report.ipynb").stat().st_ino
    restored = two.ada.post(f"api/contents/{SHARED}/checkpoints/checkpoint")
    assert restored.status_code == 204
    assert text_of(two.grace, SHARED) == "first"
    assert (two.team / "report.ipynb").stat().st_ino == inode
    two.grace.post(f"api/contents/{SHARED}/checkpoints/checkpoint").raise_for_status()
    assert text_of(two.ada, SHARED) == "second"


def test_the_second_to_save_sees_that_the_file_is_newer(two: Two) -> None:
    opened = save(two.ada, SHARED, "ada's")["last_modified"]
    later = save(two.grace, SHARED, "grace's")["last_modified"]
    # JupyterLab asks for this before it saves, and shows its dialog when it is newer.
    now = two.ada.get(f"api/contents/{SHARED}", params={"content": 0}).json()["last_modified"]
    assert now == later > opened


def test_a_restore_is_a_change_that_others_see(two: Two) -> None:
    save(two.ada, SHARED, "first")
    keep(two.ada, SHARED)
    before = save(two.grace, SHARED, "second")["last_modified"]
    two.ada.post(f"api/contents/{SHARED}/checkpoints/checkpoint").raise_for_status()
    after = two.grace.get(f"api/contents/{SHARED}", params={"content": 0}).json()["last_modified"]
    assert after > before


def test_a_new_notebook_has_a_checkpoint_at_once(two: Two) -> None:
    save(two.ada, "mine.ipynb", "x")
    assert [one["id"] for one in checkpoints(two.ada, "mine.ipynb")] == ["checkpoint"]


def test_checkpoints_follow_a_file_and_a_folder_that_are_renamed(two: Two) -> None:
    two.ada.put("api/contents/work", json={"type": "directory"}).raise_for_status()
    save(two.ada, "work/a.ipynb", "kept")
    for old, new in (("work/a.ipynb", "work/b.ipynb"), ("work", "done")):
        two.ada.patch(f"api/contents/{old}", json={"path": new}).raise_for_status()
    save(two.ada, "done/b.ipynb", "changed")
    assert checkpoints(two.ada, "work/a.ipynb") == checkpoints(two.ada, "work/b.ipynb") == []
    two.ada.post("api/contents/done/b.ipynb/checkpoints/checkpoint").raise_for_status()
    assert text_of(two.ada, "done/b.ipynb") == "kept"
    save(two.ada, "work.ipynb", "a neighbour whose name begins alike")
    two.ada.delete("api/contents/done/b.ipynb").raise_for_status()
    assert checkpoints(two.ada, "done/b.ipynb") == []
    assert len(checkpoints(two.ada, "work.ipynb")) == 1


@pytest.mark.parametrize("number", ["other", "checkpoint-1"])
def test_a_checkpoint_that_is_not_there_is_404(two: Two, number: str) -> None:
    save(two.ada, "mine.ipynb", "x")
    for method in ("POST", "DELETE"):
        answer = two.ada.request(method, f"api/contents/mine.ipynb/checkpoints/{number}")
        assert answer.status_code == 404, answer.text


def test_what_is_no_file_has_no_checkpoint(two: Two) -> None:
    assert two.ada.post("api/contents/nothing.ipynb/checkpoints").status_code == 404
    assert two.ada.post("api/contents/shared/checkpoints").status_code == 400
    assert checkpoints(two.ada, "nothing.ipynb") == []


def test_hostile_names_stay_in_their_place(two: Two) -> None:
    store = two.root / "ada/home/.local/share/perijove/checkpoints"
    for name in ("ü 漢字 🎉.ipynb", "%252e%252e.ipynb", "x" * 240 + ".ipynb"):
        save(two.ada, name, name)
        keep(two.ada, name)
        assert len(checkpoints(two.ada, name)) == 1, name
    assert {len(place.name) for place in store.iterdir()} == {64}
    assert not (two.root / "ada/home/.local/share/perijove/checkpoint").exists()


def test_ids_may_be_models_as_some_callers_pass_them(tmp_path: Path) -> None:
    import asyncio

    from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager

    from perijove.server.checkpoints import HomeCheckpoints

    manager = AsyncLargeFileManager(root_dir=str(tmp_path), checkpoints_class=HomeCheckpoints)
    manager.checkpoints.folder = str(tmp_path / "kept")
    (tmp_path / "a.txt").write_text("first")

    async def walk() -> None:
        model = await manager.create_checkpoint("/a.txt/")
        (tmp_path / "a.txt").write_text("second")
        await manager.restore_checkpoint(model, "a.txt")
        assert (tmp_path / "a.txt").read_text() == "first"
        await manager.delete_checkpoint(model, "a.txt")
        assert await manager.list_checkpoints("a.txt") == []

    asyncio.run(walk())


def test_the_configuration_names_a_class_that_is_there() -> None:
    from importlib import import_module

    from tests.fixtures.processes import ROOT

    config = json.loads((ROOT / "server_ext/etc/jupyter_perijove_config.json").read_text())
    module, _, name = config["AsyncContentsManager"]["checkpoints_class"].rpartition(".")
    assert hasattr(import_module(module), name)

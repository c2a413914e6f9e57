"""Python, the command line and the user's server share and take the same things."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import nbformat
import pytest
from click.testing import CliRunner
from IPython.core.interactiveshell import InteractiveShell
from nbformat.sign import NotebookNotary

from perijove import copies, shares
from perijove.exceptions import ApiError, NotebookError, PerijoveError, Unfit
from perijove_hub.cli.shares import shares as command
from perijove_hub.store.models import ShareRow
from tests.fixtures.api import Api
from tests.server.conftest import Workspaces
from tests.shares.test_routes import NOTEBOOK, body


@pytest.fixture
def be(api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Be]:
    """Be somebody in a workspace with one notebook."""
    monkeypatch.setenv("PERIJOVE_URL", api.url.removesuffix("/api/v1"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    Path("report.ipynb").write_text(json.dumps(NOTEBOOK))
    yield Be(api, monkeypatch)


class Be:
    """Changes whose token the environment holds."""

    def __init__(self, api: Api, patch: pytest.MonkeyPatch) -> None:
        self.api = api
        self._patch = patch

    def __call__(self, user: str) -> None:
        self._patch.setenv("PERIJOVE_TOKEN", self.api.hub.token(user))


def test_python_sends_lists_takes_and_takes_back(be: Be, tmp_path: Path) -> None:
    be("ada")
    sent = shares.send("report.ipynb", to="grace", message="hello")
    be("grace")
    assert [one.id for one in shares.list(box="received")] == [sent.id]
    first, second = shares.take(sent.id), shares.take(sent.id)
    assert first.path == str(tmp_path / "Shared with me" / "report.ipynb")
    assert second.path.endswith("report-1.ipynb")
    assert first.sender == "ada"
    assert nbformat.read(first.path, as_version=4).cells[0].source == "1 + 1"
    with pytest.raises(ApiError, match="ada shared"):
        shares.delete(sent.id)
    be("ada")
    shares.delete(sent.id)
    assert shares.list() == []
    assert Path(first.path).exists()


def test_python_says_what_is_wrong(be: Be) -> None:
    be("ada")
    with pytest.raises(NotebookError, match="cannot be read"):
        shares.send("missing.ipynb", to="grace")
    Path("x.ipynb").write_text("not JSON")
    with pytest.raises(NotebookError, match="not a notebook"):
        shares.send("x.ipynb", to="grace")
    with pytest.raises(ApiError, match="no user 'grcae'"):
        shares.send("report.ipynb", to="grcae")
    with pytest.raises(ApiError, match="one user or one group"):
        shares.send("report.ipynb")
    with pytest.raises(ApiError, match="'ada' is you yourself"):
        shares.send("report.ipynb", to="ada")
    with pytest.raises(ApiError, match=r"'risk' is not a group of yours.*research"):
        shares.send("report.ipynb", group="risk")
    with pytest.raises(ApiError, match="no such share"):
        shares.take("nothing")
    assert shares.list() == []


def test_a_link_or_a_pipe_is_not_followed(be: Be, tmp_path: Path) -> None:
    be("ada")
    # Somebody else could have put it there, for ada to give away her own notebook.
    Path("planted.ipynb").symlink_to("report.ipynb")
    with pytest.raises(NotebookError, match=r"a link to report\.ipynb\. Share that file"):
        shares.send("planted.ipynb", to="grace")
    Path("broken.ipynb").symlink_to("/etc/nothing")
    with pytest.raises(NotebookError, match="a link to /etc/nothing"):
        shares.send("broken.ipynb", to="grace")
    os.mkfifo("pipe.ipynb")
    for path in ("pipe.ipynb", tmp_path):
        with pytest.raises(NotebookError, match="is no file"):
            shares.send(path, to="grace")


def test_100_mb_are_refused_before_they_are_read(be: Be) -> None:
    be("ada")
    with Path("large.ipynb").open("wb") as large:
        large.truncate(100_000_000)
    with pytest.raises(NotebookError, match=r"large\.ipynb has 100 MB; at most 50 .*Clear large"):
        shares.send("large.ipynb", to="grace")


def test_the_folder_for_copies_leads_nowhere_else(be: Be, tmp_path: Path) -> None:
    be("ada")
    sent = shares.send("report.ipynb", to="grace")
    be("grace")
    home = tmp_path / "home"
    home.mkdir()
    os.environ["HOME"] = str(home)
    (home / "Shared with me").symlink_to(tmp_path)
    with pytest.raises(PerijoveError, match=f"out of your home, to {tmp_path}. Remove that link"):
        shares.take(sent.id)
    (home / "Shared with me").unlink()
    (home / "Shared with me").symlink_to("Shared with me")
    with pytest.raises(OSError, match="exists"):
        shares.take(sent.id)
    (home / "Shared with me").unlink()
    (home / "elsewhere").mkdir()
    (home / "Shared with me").symlink_to("elsewhere")
    assert Path(shares.take(sent.id).path).resolve() == home / "elsewhere" / "report.ipynb"


def test_the_command_line_does_the_same(be: Be) -> None:
    be("ada")
    run = CliRunner().invoke
    sent = run(command, ["send", "report.ipynb", "--group", "research", "--json"])
    assert sent.exit_code == 0, sent.output
    share = json.loads(sent.output)["id"]
    table = run(command, ["list", "report"]).output
    assert share in table
    assert "group research" in table
    taken = run(command, ["take", share, "--folder", "here"])
    assert taken.output == "here/report.ipynb is your copy of ada's notebook.\n"
    mine = shares.send("report.ipynb", to="grace").id
    be("grace")
    assert run(command, ["dismiss", mine]).output == f"{mine} is dismissed.\n"
    assert "Nothing is shared" in run(command, ["list"]).output
    be("ada")
    assert "grace (dismissed)" in run(command, ["list"]).output
    shares.delete(mine)
    assert run(command, ["delete", share]).exit_code == 0
    assert "Nothing is shared" in run(command, ["list"]).output
    wrong = run(command, ["send", "report.ipynb", "--group", "research", "--to", "grace"])
    assert wrong.exit_code == 2
    assert "either --to USER or --group GROUP" in wrong.output


def test_the_magic_does_the_same(
    be: Be, shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    def share(line: str) -> Any:
        return shell.run_line_magic("share", line)

    be("ada")
    sent = share("report.ipynb --to grace --message 'Look at the end' --expires-days 7")
    assert capsys.readouterr().out == "report.ipynb is shared with grace.\n"
    assert sent.share.message == "Look at the end"
    assert (sent.share.expires_at - sent.share.created_at).days == 7
    id_ = sent.share.id
    assert f"take it back: %share delete {id_}" in repr(sent)
    assert "Look at the end" in sent._repr_html_()
    assert len(share("list")) == len(share("list REPORT --box sent")) == 1
    assert len(share("list --box received")) == 0

    be("grace")
    taken = share(f"take {id_} --folder mine")
    assert taken.path == "mine/report.ipynb"
    assert "from: ada" in repr(taken)
    share(f"dismiss {id_}")
    assert len(share("list")) == 0
    assert Path(taken.path).exists()

    be("ada")
    assert "grace (dismissed)" in repr(share("list"))
    share(f"delete {id_}")
    assert len(share("list")) == 0
    assert capsys.readouterr().out == f"{id_} is dismissed.\n{id_} is no longer shared.\n"


def test_the_magic_shares_the_notebook_it_stands_in_as_it_was_saved(
    be: Be, shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    be("ada")
    monkeypatch.setenv("JPY_SESSION_NAME", str(Path.cwd() / "report.ipynb"))
    content = {**NOTEBOOK, "cells": [{**NOTEBOOK["cells"][0], "source": "%share --group research"}]}
    Path("report.ipynb").write_text(json.dumps(content))
    assert shell.run_cell("%share --group research", store_history=True).success
    [share] = shares.list()
    assert (share.name, share.group) == ("report.ipynb", "research")
    unsaved = shell.run_cell("%share --to grace", store_history=True).error_in_exec
    assert "%share takes only what is saved" in str(unsaved)
    monkeypatch.delenv("JPY_SESSION_NAME")
    unknown = shell.run_cell("%share --to grace").error_in_exec
    assert "Say it: %share NOTEBOOK.ipynb --to USER" in str(unknown)
    monkeypatch.setenv("PERIJOVE_RUN_ID", "x")
    assert shell.run_cell("%share report.ipynb --to grace").result is None
    assert len(shares.list()) == 1


def test_the_magic_says_in_one_line_what_is_wrong(
    be: Be, shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    be("ada")
    Path("x\u202egpj.ipynb").write_text(json.dumps(NOTEBOOK))
    for line, told in (
        ("report.ipynb", "either --to USER or --group GROUP. Usage: %share"),
        ("report.ipynb --to grace --group research", "either --to USER or --group GROUP"),
        ("report.ipynb --to ada", "'ada' is you yourself. [receiver] Name somebody else"),
        ("report.ipynb --to research", "There is no user 'research'. [receiver] It is a group"),
        ("report.ipynb --to nobody-here", "There is no user 'nobody-here'. [receiver] Check"),
        ("report.ipynb --group risk", "'risk' is not a group of yours. [group] Name one of"),
        ("report.ipynb --to grace --expires-days 0", "'expires_days' is wrong"),
        ("report.ipynb --to grace --expires-days x", "--expires-days must be a whole number"),
        ("x\u202egpj.ipynb --to grace", "without U+202E, which cannot be seen"),
        ("missing.ipynb --to grace", "missing.ipynb cannot be read"),
        ("list --box lost", "--box must be received or sent, not 'lost'"),
        ("dismiss", "Something is missing. Usage: %share dismiss ID"),
        ("dismiss nothing", "There is no such share."),
        ("delete nothing", "There is no such share."),
        ("take nothing", "There is no such share."),
    ):
        assert not shell.run_cell(f"%share {line}").success, line
        out = capsys.readouterr().out
        assert told in out, (line, out)
        assert len(out.strip().splitlines()) == 1
    assert shares.list() == []


@pytest.fixture
def browser(api: Api, tmp_path: Path) -> Iterator[httpx.Client]:
    """The browser of grace, whose server talks to the real control plane."""
    environment = {
        "PERIJOVE_URL": api.url.removesuffix("/api/v1"),
        "JUPYTERHUB_API_TOKEN": api.hub.token("grace"),
    }
    running = contextlib.contextmanager(Workspaces(tmp_path).running)
    with running(environment) as workspace, workspace.browser() as browser:
        yield browser


def test_the_users_server_takes_a_copy_that_nobody_trusts(
    api: Api, browser: httpx.Client, tmp_path: Path
) -> None:
    with api.client("ada") as ada:
        ours = ada.post("/shares", json=body(receiver="grace")).json()["id"]
        foreign = ada.post("/shares", json=body(group="research")).json()["id"]
    taken = browser.post(f"perijove/shares/{ours}/take")
    assert taken.status_code == 201, taken.text
    assert taken.json() == {
        "path": "Shared with me/report.ipynb",
        "sender": "ada",
        "image": None,
        "image_digest": None,
    }
    again = browser.post(f"perijove/shares/{ours}/take")
    assert again.json()["path"] == "Shared with me/report-1.ipynb"

    # As JupyterLab opens it: outputs of an untrusted cell are sanitised.
    opened = browser.get("api/contents/Shared with me/report.ipynb", params={"content": 1}).json()
    assert opened["content"]["cells"][0]["metadata"]["trusted"] is False
    copy = nbformat.read(tmp_path / "home" / taken.json()["path"], as_version=4)
    assert not NotebookNotary(data_dir=str(tmp_path / "data")).check_signature(copy)
    # And it is not signed by being saved as it was opened.
    browser.put("api/contents/Shared with me/report.ipynb", json=opened).raise_for_status()
    opened = browser.get("api/contents/Shared with me/report.ipynb", params={"content": 1}).json()
    assert opened["content"]["cells"][0]["metadata"]["trusted"] is False

    for hostile in (foreign, "nothing", "..%2F..%2Fwhoami", "%252e%252e", "%00", f"{ours}%2Fx"):
        answer = browser.post(f"perijove/shares/{hostile}/take")
        assert answer.status_code == 404, (hostile, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
    found = {path.name for path in (tmp_path / "home" / "Shared with me").iterdir()}
    assert found == {"report.ipynb", "report-1.ipynb"}

    with httpx.Client(base_url=browser.base_url, trust_env=False) as stranger:
        assert stranger.post(f"perijove/shares/{ours}/take").status_code == 403
    del browser.headers["X-XSRFToken"]
    assert browser.post(f"perijove/shares/{ours}/take").status_code == 403


def test_where_no_folder_can_be_the_server_says_so(
    api: Api, browser: httpx.Client, tmp_path: Path
) -> None:
    with api.client("ada") as ada:
        share = ada.post("/shares", json=body(receiver="grace")).json()["id"]
    place = tmp_path / "home" / "Shared with me"
    place.write_text("a file in the way")
    answer = browser.post(f"perijove/shares/{share}/take")
    assert answer.status_code == 409
    assert "File exists" in answer.json()["detail"]
    place.unlink()
    place.symlink_to(tmp_path)
    answer = browser.post(f"perijove/shares/{share}/take")
    assert answer.status_code == 409
    assert f"leads out of your home, to {tmp_path}" in answer.json()["detail"]
    assert not (tmp_path / "report.ipynb").exists()


def test_a_damaged_row_gives_no_way_out_of_the_folder(
    api: Api, browser: httpx.Client, tmp_path: Path
) -> None:
    with api.client("ada") as ada:
        share = ada.post("/shares", json=body(receiver="grace")).json()["id"]
    with api.context.database.session() as session:
        session.get_one(ShareRow, share).name = "../x.ipynb"
    assert browser.post(f"perijove/shares/{share}/take").status_code >= 400
    assert not list(tmp_path.rglob("x.ipynb"))


def test_a_copy_never_overwrites_and_never_follows(tmp_path: Path) -> None:
    folder = tmp_path / "Shared with me"
    folder.mkdir()
    outside = tmp_path / "outside"
    (folder / "a.ipynb").symlink_to(outside)
    assert copies.write(folder, "a.ipynb", b"1").name == "a-1.ipynb"
    assert copies.write(folder, "a.ipynb", b"2").name == "a-2.ipynb"
    assert not outside.exists()
    assert (folder / "a-1.ipynb").read_bytes() == b"1"
    for name in ("../a.ipynb", "/a.ipynb", "..", ".", "", "a/b", "x\0"):
        with pytest.raises(PerijoveError):
            copies.write(folder, name, b"")
    with pytest.raises(OSError, match="too long"):
        copies.write(folder, "x" * 300, b"")
    assert len(list(folder.iterdir())) == 3


def test_a_wrong_name_is_told_before_anything_is_sent(be: Be) -> None:
    from pydantic import ValidationError

    be("ada")
    Path("report.json").write_text(json.dumps(NOTEBOOK))
    with pytest.raises(ValidationError) as error:
        shares.send("report.json", to="grace")
    assert "ends in .ipynb" in str(Unfit.of(error.value))

"""Python, the command line and the user's server share and take the same things."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import nbformat
import pytest
from click.testing import CliRunner
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
    with pytest.raises(ApiError, match="no such share"):
        shares.take("nothing")


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
    assert run(command, ["delete", share]).exit_code == 0
    assert "Nothing is shared" in run(command, ["list"]).output
    wrong = run(command, ["send", "report.ipynb", "--group", "research", "--to", "grace"])
    assert wrong.exit_code == 2
    assert "either --to USER or --group GROUP" in wrong.output


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
    (tmp_path / "home" / "Shared with me").write_text("a file in the way")
    answer = browser.post(f"perijove/shares/{share}/take")
    assert answer.status_code == 409
    assert "File exists" in answer.json()["detail"]


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

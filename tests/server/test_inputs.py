"""The user's server finds and reads the files that a notebook is promoted with."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from tests.jobs.notebooks import code, notebook
from tests.server.conftest import Workspace


@pytest.fixture
def project(workspace: Workspace) -> Path:
    """A folder in the user's home, with a notebook that reads two files."""
    folder = workspace.log.parent / "home" / "project"
    folder.mkdir(exist_ok=True)
    cells = notebook(code("import helpers\nopen('points.csv')"))
    (folder / "report.ipynb").write_text(json.dumps(cells), encoding="utf-8")
    (folder / "points.csv").write_text("1,2\n", encoding="utf-8")
    (folder / "helpers.py").write_text("x = 1\n", encoding="utf-8")
    return folder


@pytest.mark.usefixtures("project")
def test_candidates_are_named_and_read(workspace: Workspace) -> None:
    with workspace.browser() as browser:
        for path in ("project/report.ipynb", "RTC:project/report.ipynb"):
            found = browser.post("perijove/inputs", json={"path": path})
            assert found.status_code == 200, found.text
            assert found.json()["candidates"] == [
                {"path": "helpers.py", "bytes": 6, "why": "imported in cell 1", "problem": ""},
                {"path": "points.csv", "bytes": 4, "why": "named in cell 1", "problem": ""},
            ]
        read = browser.post(
            "perijove/inputs", json={"path": "project/report.ipynb", "chosen": ["points.csv"]}
        )
    (file,) = read.json()["inputs"]
    assert (file["path"], base64.b64decode(file["content"])) == ("points.csv", b"1,2\n")


def test_what_cannot_be_read_is_a_problem(workspace: Workspace, project: Path) -> None:
    (project / "broken.ipynb").write_text("{", encoding="utf-8")
    (project / "away.ipynb").symlink_to("/etc/hostname")
    (project / "away.csv").symlink_to("/etc/hostname")
    path = "project/report.ipynb"
    with workspace.browser() as browser:
        for body, said in (
            ({"path": "project/gone.ipynb"}, "There is no notebook 'project/gone.ipynb'"),
            ({"path": "../../../etc/hostname"}, "There is no notebook"),
            ({"path": "project/away.ipynb"}, "There is no notebook"),
            ({"path": "project/broken.ipynb"}, "is not a notebook"),
            ({"path": path, "chosen": ["gone.csv"]}, "'gone.csv' cannot be read"),
            ({"path": path, "chosen": ["away.csv"]}, "leads out of the folder"),
            ({"path": path, "chosen": ["../../server.log"]}, "not below the notebook's folder"),
            ({"path": path, "chosen": "points.csv"}, "a list"),
            ({"path": path, "chosen": [5]}, "a list"),
            ({"path": 5}, "'path' is text"),
            ([], "not"),
        ):
            answer = browser.post("perijove/inputs", json=body)
            assert answer.status_code == 422, body
            assert answer.headers["content-type"] == "application/problem+json"
            assert said in answer.json()["detail"]


@pytest.mark.usefixtures("project")
def test_a_stranger_reads_nothing(workspace: Workspace) -> None:
    with workspace.stranger() as stranger:
        answer = stranger.post("perijove/inputs", json={"path": "project/report.ipynb"})
    assert answer.status_code == 403

"""The files a notebook probably reads are found without running it."""

from __future__ import annotations

import base64
import os
import time
from pathlib import Path
from typing import Any

import pytest

from perijove import manifest
from perijove.manifest import InputError, missed, propose, read
from tests.jobs.notebooks import code, markdown, notebook


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project's folder."""
    found = tmp_path / "project"
    for name in (
        "points.csv",
        "data/a.csv",
        "data/b.csv",
        "data/deep/c.csv",
        "data/.hidden.csv",
        "helpers.py",
        "package/__init__.py",
        "package/inner.py",
        "package/table.csv",
        "other.py",
        "script.py",
        "outputs/old.csv",
        "inputs/old.csv",
        ".ipynb_checkpoints/points-checkpoint.csv",
        "__pycache__/helpers.pyc",
        ".env",
    ):
        (found / name).parent.mkdir(parents=True, exist_ok=True)
        (found / name).write_text("x\n" if name.endswith(".csv") else "", encoding="utf-8")
    (tmp_path / "above.csv").write_text("x", encoding="utf-8")
    return found


def proposed(folder: Path, *sources: str) -> list[str]:
    found = propose(notebook(*map(code, sources)), folder)
    return [one.path for one in found if not one.problem]


@pytest.mark.parametrize(
    ("source", "paths"),
    [
        ("pd.read_csv('points.csv')", ["points.csv"]),
        ("pd.read_csv('./points.csv')", ["points.csv"]),
        ("open(f'points.csv')", ["points.csv"]),
        ("Path('data') / 'a.csv'", ["data/a.csv"]),
        ("os.path.join('data', 'deep', 'c.csv')", ["data/deep/c.csv"]),
        ("glob('data/*.csv')", ["data/a.csv", "data/b.csv"]),
        ("read('data/deep/')", ["data/deep/c.csv"]),
        ("import helpers", ["helpers.py"]),
        ("from package import inner", ["package/__init__.py", "package/inner.py"]),
        ("import package.inner as p", ["package/__init__.py", "package/inner.py"]),
        ("%run script.py --fast", ["script.py"]),
        ("%run -i 'script.py'", ["script.py"]),
        ("%%time\npd.read_csv('points.csv')", ["points.csv"]),
        ("!ls\nx = !ls\nif True:\n    !ls\npd.read_csv('points.csv')", ["points.csv"]),
        ("%%bash\ncat 'points.csv'", []),
        ("'outputs/old.csv', 'inputs/old.csv'", []),
        ("'.env', 'data/.hidden.csv', '__pycache__/helpers.pyc'", []),
        ("'.ipynb_checkpoints/points-checkpoint.csv'", []),
        ("'../above.csv', '/etc/passwd', '~/x', '.', '..', '', '*', '**/*.csv'", []),
        ("import numpy, os, no.such.thing", []),
        ("this is no python 'points.csv'", []),
        ("x = 'nothing.csv'", []),
    ],
)
def test_what_code_names_is_proposed(folder: Path, source: str, paths: list[str]) -> None:
    assert proposed(folder, source) == paths


def test_what_is_proposed_says_its_size_and_why(folder: Path) -> None:
    (found,) = propose(notebook(markdown("points.csv"), code("'points.csv'")), folder)
    assert (found.path, found.bytes, found.why) == ("points.csv", 2, "named in cell 2")


def test_cells_that_no_run_executes_name_nothing(folder: Path) -> None:
    # Such as one that promotes the notebook itself, which is another one after each save.
    skipped = code("'points.csv', 'helpers.py'", tags=["skip-execution"])
    odd = [code("'data/a.csv'") | {"metadata": one} for one in (None, {"tags": "skip-execution"})]
    found = propose(notebook(skipped, *odd), folder)
    assert [one.path for one in found] == ["data/a.csv"]


def test_modules_are_followed(folder: Path) -> None:
    (folder / "helpers.py").write_text("from package import inner", encoding="utf-8")
    (folder / "package/inner.py").write_text(
        "from . import gone\nfrom .. import up\nimport other\nT = 'package/table.csv'\n",
        encoding="utf-8",
    )
    (folder / "other.py").write_text("import helpers", encoding="utf-8")
    found = {one.path: one.why for one in propose(notebook(code("import helpers")), folder)}
    assert found == {
        "helpers.py": "imported in cell 1",
        "other.py": "imported in package/inner.py",
        "package/__init__.py": "imported in helpers.py",
        "package/inner.py": "imported in helpers.py",
        "package/table.csv": "named in package/inner.py",
    }


def test_links_that_lead_out_of_the_folder_are_left_alone(folder: Path) -> None:
    (folder / "out.csv").symlink_to(folder.parent / "above.csv")
    (folder / "out").symlink_to(folder.parent)
    (folder / "in.csv").symlink_to("points.csv")
    (folder / "loop.csv").symlink_to("loop.csv")
    assert proposed(folder, "'out.csv', 'out/above.csv', 'out', 'loop.csv'") == []
    assert proposed(folder, "'in.csv'") == ["in.csv"]
    assert missed(notebook(code("'out.csv', '../above.csv', 'in.csv'")), folder) == [
        "'../above.csv' (named in cell 1) is not kept: it is not below the notebook's folder.",
        "'out.csv' (named in cell 1) is not kept: it is a link that leads out of the folder.",
    ]
    for path in ("out.csv", "out/above.csv", "../above.csv", str(folder / "points.csv")):
        with pytest.raises(InputError) as caught:
            read(folder, [path])
        assert caught.value.path == path


def test_what_is_no_file_is_left_alone(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    assert proposed(folder, "'pipe'") == []
    for path in ("pipe", "data", "gone.csv", "", "a\0b", "x" * 5000):
        with pytest.raises(InputError):
            read(folder, [path])


def test_large_files_are_neither_proposed_nor_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "MOST_BYTES", 3)
    (folder / "large.csv").write_text("1234", encoding="utf-8")
    assert proposed(folder, "'large.csv', 'points.csv'") == ["points.csv"]
    (said,) = missed(notebook(code("'large.csv', 'points.csv', '../gone.csv'")), folder)
    assert said.startswith("'large.csv' (named in cell 1) is not kept: it has 0 MiB, more than")
    with pytest.raises(InputError, match="With 'large"):
        read(folder, ["large.csv"])
    with pytest.raises(InputError, match="With 'data"):
        read(folder, ["points.csv", "data/a.csv"])


def test_files_are_read_as_the_api_takes_them(folder: Path) -> None:
    (one, other) = read(folder, ["points.csv", "data/a.csv"])
    assert (one.path, base64.b64decode(one.content)) == ("points.csv", b"x\n")
    assert other.path == "data/a.csv"


@pytest.mark.parametrize(
    "content", [{}, {"cells": 5}, {"cells": [5]}, {"cells": [{"cell_type": "code", "source": 5}]}]
)
def test_what_is_no_notebook_names_no_files(folder: Path, content: dict[str, Any]) -> None:
    assert propose(content, folder) == []


def test_hostile_code_takes_no_time(folder: Path) -> None:
    deep = "'a'" + " / 'a'" * 900
    nested = "(" * 5000
    many = "\n".join(f"x{at} = 'data/{at}.csv'" for at in range(5_000))
    began = time.monotonic()
    assert proposed(folder, deep, nested, many) == []
    assert time.monotonic() - began < 30


def test_a_folder_of_very_many_files_is_cut(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "MOST_FILES", 2)
    assert len(proposed(folder, "'data', 'points.csv'")) == 2

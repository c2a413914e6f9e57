"""The demo's database is whole or not there."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from perijove_hub.demo.data import build, is_whole


def test_the_whole_set_is_there_with_readable_names(tmp_path):
    path = tmp_path / "demo" / "demo.sqlite"
    build(path)
    with closing(sqlite3.connect(path)) as connection:
        cursor = connection.execute("select * from breast_cancer")
        names = [column[0] for column in cursor.description]
        rows = cursor.fetchall()
    assert (len(rows), len(names)) == (569, 31)
    assert names[0] == "mean_radius"
    assert names[-1] == "diagnosis"
    assert all(name.isidentifier() and name.islower() for name in names)
    assert {row[-1] for row in rows} == {"malignant", "benign"}
    assert sum(row[-1] == "malignant" for row in rows) == 212


def test_it_is_what_scikit_learn_gives(tmp_path):
    from sklearn.datasets import load_breast_cancer

    wanted = load_breast_cancer()
    build(tmp_path / "demo.sqlite")
    with closing(sqlite3.connect(tmp_path / "demo.sqlite")) as connection:
        cursor = connection.execute("select * from breast_cancer")
        names = [column[0].replace("_", " ") for column in cursor.description]
        rows = cursor.fetchall()
    assert names[:-1] == list(wanted.feature_names)
    assert [list(row[:-1]) for row in rows] == wanted.data.tolist()
    assert [row[-1] for row in rows] == list(wanted.target_names[wanted.target])


def test_building_again_changes_nothing(tmp_path):
    path = tmp_path / "demo.sqlite"
    build(path)
    before = path.stat().st_ino
    build(path)
    assert path.stat().st_ino == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["demo.sqlite"]


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 100])
def test_a_damaged_database_is_replaced(tmp_path, content):
    path = tmp_path / "demo.sqlite"
    path.write_bytes(content)
    assert not is_whole(path)
    build(path)
    assert is_whole(path)

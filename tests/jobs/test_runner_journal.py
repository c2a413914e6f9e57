"""What a killed run leaves becomes a notebook again, whatever else is in its journal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from perijove.runner import journal
from perijove.runner.journal import Journal, rebuild
from tests.jobs.notebooks import code, notebook


def as_is(value: Any) -> Any:
    return value


def reader(path: Path) -> Any:
    def read(offset: int, limit: int) -> bytes | None:
        return path.read_bytes()[offset : offset + limit] if path.exists() else None

    return read


def rebuilt(path: Path) -> Any:
    made = rebuild(reader(path))
    return json.loads(made) if made is not None else None


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / journal.NAME


def test_changes_are_made_in_order(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "PIECE", 7)
    kept = Journal(path, clean=as_is)
    assert kept.begin(notebook(code("1"), code("2"))) is None
    shown = {"output_type": "display_data", "data": {"text/plain": "old"}, "metadata": {}}
    for change in (
        ["papermill", 1, {"status": "running"}],
        ["count", 0, 7],
        ["text", 0, "stdout", "gone"],
        ["clear", 0],
        ["text", 0, "stdout", "a"],
        ["text", 0, "stdout", "b\n"],
        ["text", 0, "stderr", "c"],
        ["output", 1, shown],
        ["data", 1, 0, {"text/plain": "new"}, {}],
    ):
        kept.add(json.dumps(change))
    with path.open("a") as file:
        file.write('["text", 0, "stdout", "half a li')
    first, second = rebuilt(path)["cells"]
    assert first["execution_count"] == 7
    assert [(output["name"], output["text"]) for output in first["outputs"]] == [
        ("stdout", "ab\n"),
        ("stderr", "c"),
    ]
    assert second["outputs"][0]["data"] == {"text/plain": "new"}
    assert second["outputs"][1]["text"] == journal.KILLED


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "7",
        '"text"',
        '{"a": 1}',
        '["text", 99, "stdout", "x"]',
        '["text", -1, "stdout", "x"]',
        '["text", 0]',
        '["text", "0", "stdout", "x"]',
        '["output", 0, {"output_type": "script"}]',
        '["output", 0, 3]',
        '["data", 0, 5, {}, {}]',
        '["papermill", 0, 5]',
        '["unknown", 0]',
        "[" * 100_000,
        "\xff\x00 nonsense",
    ],
)
def test_a_line_that_says_nothing_harms_no_other(path: Path, line: str) -> None:
    kept = Journal(path, clean=as_is)
    kept.begin(notebook(code("1")))
    with path.open("a", encoding="latin-1") as file:
        file.write(f"{line}\n")
    kept.add('["text", 0, "stdout", "good"]')
    assert [output["text"] for output in rebuilt(path)["cells"][0]["outputs"]] == ["good"]


@pytest.mark.parametrize("content", [b"", b"\n", b"[]\n", b"{}\n", b'{"cells": [1]}\n', b"no"])
def test_what_is_no_journal_is_no_notebook(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert rebuilt(path) is None
    assert rebuild(lambda _offset, _limit: None) is None


def test_a_journal_without_end_is_read_to_a_limit(path: Path) -> None:
    asked: list[int] = []

    def endless(offset: int, limit: int) -> bytes:
        asked.append(offset)
        return b"x" * limit

    assert rebuild(endless, 2**24) is None
    assert max(asked) < 2**24


def test_a_full_disk_costs_no_run_and_no_later_change(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = notebook(code("1"))
    kept = Journal(path, clean=as_is)
    kept.begin(content)
    with monkeypatch.context() as full:
        write = journal.os.write

        def half(file: int, data: bytes) -> int:
            if len(data) < 10:
                raise OSError(28, "No space left on device")
            return write(file, data[:-5])

        full.setattr(journal.os, "write", half)
        assert kept.add('["text", 0, "stdout", "lost on disk"]') == "No space left on device"
    journal.apply(content["cells"], ["text", 0, "stdout", "kept in memory"])
    assert not kept.wants_to_begin
    monkeypatch.setattr(journal.time, "monotonic", lambda: 1e12)
    assert kept.wants_to_begin
    assert kept.begin(content) is None
    assert kept.add('["text", 0, "stdout", " and on"]') is None
    assert rebuilt(path)["cells"][0]["outputs"][0]["text"] == "kept in memory and on"


def test_a_long_journal_begins_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "LENGTH", 1000)
    content = notebook(code("1"))
    kept = Journal(path, clean=as_is)
    kept.begin(content)
    for _ in range(500):
        journal.apply(content["cells"], ["clear", 0])
        kept.add('["clear", 0]')
        if kept.wants_to_begin:
            kept.begin(content)
    assert path.stat().st_size < 5000
    kept.end()
    assert not path.exists()

"""A notebook's code can write what its runner tells."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from perijove_hub.jobs import scratch


def told(folder: Path, *lines: str) -> scratch.Events:
    (folder / scratch.EVENTS).write_text("".join(f"{line}\n" for line in lines))
    events = scratch.Events(folder)
    events.update()
    return events


def test_a_flood_of_lines_is_read_to_a_limit(tmp_path: Path) -> None:
    flood = tmp_path / scratch.EVENTS
    flood.write_bytes(b"x" * 99 + b"\n")
    with flood.open("r+b") as file:
        file.truncate(2**40)
        file.seek(scratch.MOST_EVENTS + 2**20)
        file.write(b'\n{"event": "started", "cells_total": 9}\n')
    events = scratch.Events(tmp_path)
    for _ in range(100):
        events.update()
    assert events._offset <= scratch.MOST_EVENTS + scratch.MAX_EVENTS
    assert events.progress.cells_total == 0


@pytest.mark.parametrize("number", ["1e400", "-1", "1e300", "2147483648", "[]", "null"])
def test_numbers_that_no_database_holds_are_not_taken(tmp_path: Path, number: str) -> None:
    events = told(
        tmp_path,
        f'{{"event": "started", "cells_total": {number}}}',
        f'{{"event": "ended", "ending": "cell_error", "cell": {number}, "line": 1}}',
        '{"event": "done", "number": 3}',
    )
    assert (events.progress.cells_total, events.progress.cells_done) == (0, 3)
    assert events.outcome is None or events.outcome.cell is None


def test_words_are_taken_as_text_that_can_be_stored_and_shown(tmp_path: Path) -> None:
    bad = "a\x1b[2J\r\n2026-11-21 INFO worker: forged\x00\ud800"
    ended = {"event": "ended", "ending": "cell_error", "cell": 0, "error": bad}
    events = told(tmp_path, json.dumps({"event": "cell", "line": bad}), json.dumps(ended))
    assert events.outcome is not None
    for said in (events.progress.current_cell, events.outcome.error):
        said.encode()
        assert not {"\x1b", "\r", "\x00"} & set(said)
        assert said.startswith("a\ufffd[2J")

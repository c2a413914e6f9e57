"""Logs of builds: one text over several files, without secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from perijove_hub.images import log, probe


def test_the_steps_are_read_as_one_text(tmp_path: Path) -> None:
    written = log.BuildLog(tmp_path / "log")
    for number in (1, 2, 10):
        written.begin(number, f"step {number}")
        written.add(number, b"line\r\nprogress\rdone \xff\n")
    whole = log.read(tmp_path / "log", 0, 10_000)
    assert whole.count(b"== step") == 3
    assert whole.index(b"step 2") < whole.index(b"step 10")
    assert written.size() == len(whole)
    for size in (1, 7, 1000):
        pieces, offset = b"", 0
        while piece := log.read(tmp_path / "log", offset, size):
            pieces, offset = pieces + piece, offset + len(piece)
        assert pieces == whole


def test_there_is_no_log_before_the_first_step(tmp_path: Path) -> None:
    assert log.read(tmp_path / "none", 0, 100) == b""


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("index-url = https://ada:s3cret%40x@pypi.example/simple", "at https://ada:s3cret%40x@p"),
        ("index-url = https://ada:s3cret%40x@pypi.example/simple", "password s3cret@x"),
        ("extra-index-url = https://t0ken@pypi.example/simple", "Looking at t0ken"),
        ("deb https://u:s3cret%40x@apt.example bookworm main", "GET https://u:s3cret%40x@apt"),
    ],
)
def test_credentials_of_mirrors_are_not_shown(tmp_path: Path, text: str, printed: str) -> None:
    written = log.BuildLog(tmp_path, log.secrets_in(text))
    written.begin(1, "pip")
    written.add(1, printed.encode())
    shown = log.read(tmp_path, 0, 1000).decode()
    assert "s3cret" not in shown
    assert "t0ken" not in shown
    assert "****" in shown


def test_what_an_image_says_of_its_packages_is_read_as_a_strangers() -> None:
    said = (
        b'[["pip","Foo.Bar","1"],["pip","foo_bar","2"],["apt","libc6","2.36-9"],["gem","x","1"],'
        b'["pip","<script>","1"],["pip",1,2],"x",["pip","a","1; drop"]]'
    )
    found = [(one.manager, one.name, one.version) for one in probe.packages(said)]
    assert found == [("pip", "foo-bar", "1"), ("apt", "libc6", "2.36-9")]
    for nonsense in (b"", b"{}", b"null", b"[" * 10_000, b"\xff"):
        assert probe.packages(nonsense) == []

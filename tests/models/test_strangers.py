"""What answers as a replica may be a model's own code."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from perijove_hub.launch import Phase, Status
from perijove_hub.models import replica
from tests.kernels.test_agent import answering


class Launcher:
    """Knows one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def directory(self, name: str) -> Path:
        return self.folder


def endless(link: Any) -> None:
    link.recv(65536)
    link.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        link.sendall(b"x" * 2**20)


def dripping(link: Any) -> None:
    link.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        link.sendall(b"X-Y: z\r\n")
        time.sleep(0.2)


@pytest.mark.parametrize(("answer", "there"), [(endless, True), (dripping, False)])
def test_the_worker_waits_for_no_answers_end(tmp_path: Path, answer: Any, there: bool) -> None:
    began = time.monotonic()
    with answering(answer) as port:
        said = json.dumps({"address": f"127.0.0.1:{port}"})
        (tmp_path / replica.ANNOUNCE).write_text(said)
        launcher: Any = Launcher(tmp_path)
        found = replica.address(launcher, Status("replica-x-1-1", Phase.running, {}))
    assert (found is not None) == there
    assert time.monotonic() - began < 4


def test_why_a_model_did_not_load_is_told_in_text_that_can_be_stored(tmp_path: Path) -> None:
    for error in ("\x1b[2J\x00\ud800", ["x"], 7):
        (tmp_path / replica.ANNOUNCE).write_text(json.dumps({"error": error}))
        launcher: Any = Launcher(tmp_path)
        why = replica.cause(launcher, Status("r", Phase.ended, {}, exit_code=3), memory_mb=1)
        why.encode()
        assert not {"\x1b", "\x00"} & set(why)

"""The replica as a server: it stays awake while it predicts, and never says too much."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from perijove.replica.app import MEANT_FOR, create_app
from perijove.replica.exceptions import BadRequest, ModelFailed
from perijove.replica.worker import WAITING
from tests.fixtures.api import served
from tests.fixtures.processes import free_port, wait_until


class Stub:
    """Stands for a model that answers when it is let go."""

    version = "3"

    def __init__(self) -> None:
        self.free = threading.Event()
        self.free.set()
        self.calls = 0

    def answer(self, body: bytes, content_type: str) -> bytes:
        """Wait, then do what the body says."""
        self.calls += 1
        self.free.wait(30)
        if body == b"bad":
            raise BadRequest("No.", field="x", fix="Do.")
        if body == b"fails":
            raise ModelFailed
        return b"{}"


@contextlib.contextmanager
def running(stub: Stub, name: str = "replica-1") -> Iterator[httpx.Client]:
    """Serve ``stub`` and talk to it."""
    port = free_port()
    with (
        served(create_app(stub, name=name), port),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False) as client,
    ):
        yield client


def test_ping_answers_while_a_prediction_takes_its_time() -> None:
    stub = Stub()
    with running(stub) as client, ThreadPoolExecutor(1) as pool:
        stub.free.clear()
        slow = pool.submit(client.post, "/invocations", content=b"")
        wait_until(lambda: stub.calls == 1, what="the prediction's start")
        assert client.get("/ping").status_code == 200
        assert client.get("/health").status_code == 200
        assert client.get("/version").text == "3"
        assert not slow.done()
        stub.free.set()
        assert slow.result(20).status_code == 200


def test_too_many_waiting_requests_are_told_to_come_back() -> None:
    stub = Stub()
    with running(stub) as client, ThreadPoolExecutor(WAITING + 8) as pool:
        stub.free.clear()
        sent = [pool.submit(client.post, "/invocations", content=b"") for _ in range(WAITING + 8)]
        wait_until(lambda: sum(one.done() for one in sent) == 8, what="the overflow's answers")
        stub.free.set()
        answers = [one.result(20) for one in sent]
    refused = [answer for answer in answers if answer.status_code == 503]
    assert len(refused) == 8
    assert {answer.headers["retry-after"] for answer in refused} == {"1"}
    assert sum(answer.status_code == 200 for answer in answers) == WAITING


def test_a_caller_that_hangs_up_frees_its_place() -> None:
    stub = Stub()
    with running(stub) as client:
        stub.free.clear()
        for _ in range(3):
            with pytest.raises(httpx.ReadTimeout):
                client.post("/invocations", content=b"", timeout=0.2)
        stub.free.set()
        assert client.post("/invocations", content=b"").status_code == 200


def test_errors_are_problem_documents_without_tracebacks() -> None:
    with running(Stub()) as client:
        bad = client.post("/invocations", content=b"bad")
        fails = client.post("/invocations", content=b"fails")
    assert bad.status_code == 400
    assert bad.headers["content-type"] == "application/problem+json"
    assert bad.json() == {
        "type": "about:blank",
        "title": "Invalid request",
        "status": 400,
        "detail": "No.",
        "field": "x",
        "fix": "Do.",
    }
    assert fails.status_code == 500
    assert "Traceback" not in fails.text


def test_what_is_meant_for_another_replica_is_not_answered() -> None:
    with running(Stub()) as client:
        own = client.get("/ping", headers={MEANT_FOR: "replica-1"})
        other = client.get("/ping", headers={MEANT_FOR: "replica-2"})
        scored = client.post("/invocations", content=b"", headers={MEANT_FOR: "replica-2"})
    assert (own.status_code, other.status_code, scored.status_code) == (200, 421, 421)

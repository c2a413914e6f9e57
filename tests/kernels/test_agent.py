"""What answers at a kernel's port may be its user's own code."""

from __future__ import annotations

import contextlib
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from perijove_hub.context import Context, Topology
from perijove_hub.kernels import agent
from perijove_hub.kernels.duty import KernelDuty
from perijove_hub.kernels.workload import LOOPBACK
from perijove_hub.launch.local import LocalLauncher
from perijove_hub.store.models import KernelRow, utcnow


@contextlib.contextmanager
def answering(answer: Callable[[Any], None]) -> Iterator[int]:
    """Listen, and let ``answer`` have each connection; gives the port."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                answer(self.request)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def drip(link: Any) -> None:
    while True:
        link.sendall(b" ")
        time.sleep(0.02)


def test_an_answer_that_never_ends_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "TIMEOUT", 0.3)
    began = time.monotonic()
    with answering(drip) as port, pytest.raises(agent.NoAnswer):
        agent.ask("127.0.0.1", port, "secret", "status")
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("said", [b"[" * 60_000 + b"\n", b"\xff\n", b"null\n", b'{"ok":1}\n', b""])
def test_nonsense_is_no_answer(said: bytes) -> None:
    with answering(lambda link: link.sendall(said)) as port, pytest.raises(agent.NoAnswer):
        agent.ask("127.0.0.1", port, "secret", "status")


@pytest.mark.parametrize("idle", ["1" + 400 * "0", "1e400", "-1", '"x"', "NaN", "null"])
def test_whatever_a_kernel_says_of_its_idleness_stops_no_other(context: Context, idle: str) -> None:
    said = f'{{"ok": true, "idle_s": {idle}}}\n'.encode()
    topology = Topology("http://127.0.0.1:8000", "http://127.0.0.1:8081/hub/api", LOOPBACK, 1, 2, 3)
    topology.save(context.data.run / "topology.json")
    duty = KernelDuty(context, LocalLauncher(context.data.workloads))
    with answering(lambda link: link.sendall(said)) as port:
        row = KernelRow(id="k", attempt=1, user="mallory", address="127.0.0.1", ports=[port])
        at = duty._last_active(row)
    assert at is not None
    assert at <= utcnow()

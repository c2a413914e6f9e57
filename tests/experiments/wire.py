"""A wire to a server that can be cut and mended."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator


class Wire:
    """Forwards ``port`` to ``target`` while it is whole, as the proxy does."""

    def __init__(self, target: tuple[str, int], port: int) -> None:
        self._target = target
        self._ends: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self.port = port

    def mend(self) -> None:
        """Let everything through."""
        listener = socket.create_server(("127.0.0.1", self.port))
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def stall(self) -> None:
        """Take connections and never answer."""
        self.cut()
        self._listener = socket.create_server(("127.0.0.1", self.port))

    def cut(self) -> None:
        """Drop every connection and refuse new ones."""
        listener, self._listener = self._listener, None
        for end in [*self._ends, *([listener] if listener else [])]:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._ends = []

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(self._target)
                self._ends += [near, far]
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=_copy, args=pair, daemon=True).start()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while content := source.recv(65536):
            sink.sendall(content)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def wire_to(target: tuple[str, int], *, port: int) -> Iterator[Wire]:
    """Make a whole wire, cut at the end."""
    wire = Wire(target, port)
    wire.mend()
    try:
        yield wire
    finally:
        wire.cut()

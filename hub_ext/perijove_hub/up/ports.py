"""Ports: the public one as asked for, the others as last time or whatever is free."""

from __future__ import annotations

import socket
from collections.abc import Iterable

import psutil

from perijove_hub.up.exceptions import StartError


def is_free(host: str, port: int) -> bool:
    """Tell whether somebody could listen on ``port`` now."""
    with socket.socket() as probe:
        # As servers do: a port in TIME_WAIT is free, one somebody listens on is not.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def claim(host: str, port: int) -> int:
    """Return ``port`` when it is free; raise ``StartError`` naming who holds it."""
    if is_free(host, port):
        return port
    nearby = next((p for p in range(port + 1, port + 100) if is_free(host, p)), None)
    fix = f"Stop it, or choose another port: perijove up --port {nearby or 'PORT'}."
    raise StartError(f"port {port} on {host} is taken{_holder(port)}. {fix}")


def pick(host: str, preferred: Iterable[int | None]) -> list[int]:
    """Return a free port for each preference: the preferred one when it is free.

    Parts keep their ports over restarts, so that running workloads still find them.
    """
    chosen: list[int] = []
    held: list[socket.socket] = []
    try:
        for wanted in preferred:
            probe = socket.socket()
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, wanted or 0))
            except OSError:
                probe.bind((host, 0))
            held.append(probe)
            chosen.append(int(probe.getsockname()[1]))
    finally:
        for probe in held:
            probe.close()
    return chosen


def _holder(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            local = connection.laddr
            if connection.status == psutil.CONN_LISTEN and local and local.port == port:
                process = psutil.Process(connection.pid) if connection.pid else None
                return f" by {process.name()} (pid {process.pid})" if process else ""
    except psutil.Error:
        pass
    return ""

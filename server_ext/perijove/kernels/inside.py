"""The process in a remote kernel's container: ``python -m perijove.kernels.inside``.

It waits at its setup port to be told, once, which key to sign messages with, then becomes an
ordinary IPython kernel. The key comes from the user's own server through the tunnel, and so is
in no image, database, command line or environment of the engine. Later the same port answers
how busy the kernel is, and interrupts it.

A connection begins with a line ``{"secret": …}``, which only the control plane knows, followed
by one request: ``{"do": "setup", "key": …}``, ``{"do": "status"}`` or ``{"do": "interrupt"}``.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import hmac
import json
import os
import queue
import signal
import socketserver
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

#: Exit status when a port is taken; the control plane tries others.
PORT_TAKEN = 98
#: Most bytes of a line.
LINE = 1 << 20
#: Seconds a connection may take to say what it wants.
PATIENCE = 30

#: What counts as use besides running cells: widgets talking to their kernel.
USE = frozenset({"comm_open", "comm_msg"})


class Activity:
    """When the kernel last ran something; shared by its threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = 0
        self._last = time.monotonic()

    def begin(self) -> None:
        """Note that something runs."""
        with self._lock:
            self._running += 1

    def end(self) -> None:
        """Note that it has ended."""
        with self._lock:
            self._running -= 1
            self._last = time.monotonic()

    def touch(self) -> None:
        """Note a moment of use."""
        with self._lock:
            self._last = time.monotonic()

    def report(self) -> dict[str, Any]:
        """Say whether it is busy, and else for how many seconds it has been idle."""
        with self._lock:
            busy = self._running > 0
            return {"busy": busy, "idle_s": 0.0 if busy else time.monotonic() - self._last}


class Agent(socketserver.ThreadingTCPServer):
    """Answers at the setup port."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address: tuple[str, int], secret: str, activity: Activity) -> None:
        super().__init__(address, _Handler)
        self.secret = secret
        self.activity = activity
        self.setup: queue.Queue[dict[str, Any]] = queue.Queue()
        self._lock = threading.Lock()
        self._key: str | None = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what is asked."""
        match request.get("do"):
            case "status":
                return {
                    "ok": True,
                    "configured": self._key is not None,
                    **self.activity.report(),
                }
            case "interrupt":
                # To this process, whose main thread runs the cell.
                os.kill(os.getpid(), signal.SIGINT)
                return {"ok": True}
            case "setup" if isinstance(request.get("key"), str) and request["key"]:
                with self._lock:
                    first, self._key = self._key is None, self._key or request["key"]
                if first:
                    self.setup.put(request)
                # Who did not hear the answer says it again; nobody else has the key.
                same = hmac.compare_digest(self._key.encode(), request["key"].encode())
                return {"ok": same}
        return {"ok": False, "error": "unknown request"}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Let a broken connection be; what it sent is no business of the log."""


class _Handler(socketserver.StreamRequestHandler):
    timeout = PATIENCE
    server: Agent

    def handle(self) -> None:
        given = self._line().get("secret")
        if not isinstance(given, str) or not hmac.compare_digest(
            given.encode(), self.server.secret.encode()
        ):
            return
        answer = self.server.answer(self._line())
        self.wfile.write(json.dumps(answer).encode() + b"\n")

    def _line(self) -> dict[str, Any]:
        try:
            content = json.loads(self.rfile.readline(LINE))
        except ValueError:
            return {}
        return content if isinstance(content, dict) else {}


def become_kernel(setup: dict[str, Any], ip: str, ports: Sequence[int], activity: Activity) -> None:
    """Run as a kernel until it is shut down."""
    from ipykernel.ipkernel import IPythonKernel
    from ipykernel.kernelapp import IPKernelApp

    class Kernel(IPythonKernel):
        """Keeps account of what it runs."""

        async def execute_request(self, stream: Any, ident: Any, parent: Any) -> None:
            """Run a cell."""
            activity.begin()
            try:
                await super().execute_request(stream, ident, parent)  # type: ignore[no-untyped-call]
            finally:
                activity.end()

        def should_handle(self, stream: Any, msg: Any, idents: Any) -> Any:
            """Take every message, and note those that are use."""
            if msg["header"]["msg_type"] in USE:
                activity.touch()
            return super().should_handle(stream, msg, idents)  # type: ignore[no-untyped-call]

    os.environ.update(
        {name: value for name, value in (setup.get("environment") or {}).items() if value}
    )
    _enter(setup.get("cwd"))
    shell, iopub, stdin, control, hb = ports
    connection = {
        "transport": "tcp",
        "ip": ip,
        "key": setup["key"],
        "signature_scheme": "hmac-sha256",
        "shell_port": shell,
        "iopub_port": iopub,
        "stdin_port": stdin,
        "control_port": control,
        "hb_port": hb,
    }
    with tempfile.TemporaryDirectory(prefix="perijove-kernel-") as folder:
        file = Path(folder) / "connection.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps(connection), encoding="utf-8")
        app = IPKernelApp.instance(kernel_class=Kernel)
        app.initialize(["-f", str(file), "--log-level=ERROR"])
    if note := setup.get("note"):
        _show_once(app.shell, str(note))
    app.start()


def _enter(cwd: object) -> None:
    """Go to the notebook's folder; to the home where that is not to be had."""
    for place in (cwd, os.environ.get("HOME")):
        with contextlib.suppress(OSError, TypeError, ValueError):
            os.chdir(place)  # type: ignore[arg-type]
            return


def _show_once(shell: Any, note: str) -> None:
    """Tell the user, with the first cell they run, why the kernel before this one ended."""

    def show(*_: object) -> None:
        shell.events.unregister("pre_run_cell", show)
        print(note, file=sys.stderr)  # noqa: T201

    shell.events.register("pre_run_cell", show)


def main(arguments: Sequence[str] | None = None) -> None:
    """Wait to be set up, and run."""
    parser = argparse.ArgumentParser(prog="perijove.kernels.inside")
    parser.add_argument("--ip", required=True)
    parser.add_argument("--ports", required=True, help="shell,iopub,stdin,control,hb,setup")
    options = parser.parse_args(arguments)
    ports = [int(port) for port in options.ports.split(",")]
    # Out of the environment before any code of the user's could see it.
    secret = os.environ.pop("PERIJOVE_KERNEL_SECRET", "")
    if len(ports) != 6 or not secret:
        parser.error("six ports and PERIJOVE_KERNEL_SECRET are needed")
    activity = Activity()
    try:
        agent = Agent((options.ip, ports[5]), secret, activity)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            sys.exit(PORT_TAKEN)
        raise
    threading.Thread(target=agent.serve_forever, name="perijove-agent", daemon=True).start()
    # Half of the start, done while the owner's server is still being told.
    import ipykernel.kernelapp  # noqa: F401

    activity.touch()
    become_kernel(agent.setup.get(), options.ip, ports[:5], activity)


if __name__ == "__main__":
    main()

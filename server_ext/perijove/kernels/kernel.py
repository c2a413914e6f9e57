"""The kernel itself, as ``perijove.kernels.inside`` starts it: an IPython kernel on pipes.

It is started before anybody has said what it shall be, and has imported what it needs by then.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from perijove.kernels.activity import Activity

#: What counts as use besides running cells: widgets talking to their kernel.
USE = frozenset({"comm_open", "comm_msg"})

_PR_SET_PDEATHSIG = 1


def main(folder: str, memory: int) -> None:
    """Wait for the setup on standard input, then run until shut down."""
    # Nobody could reach it any more.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    activity = Activity(memory)
    os.close(memory)
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

    line = sys.stdin.readline()
    if not line:
        return
    setup = json.loads(line)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.update({name: str(value) for name, value in setup["environment"].items()})
    _enter(setup["cwd"])
    file = Path(folder) / "connection.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps(_connection(folder, setup["key"])), encoding="utf-8")
    app = IPKernelApp.instance(kernel_class=Kernel)
    app.initialize(["-f", str(file), "--log-level=ERROR"])
    file.unlink()
    if setup["note"]:
        _show_once(app.shell, setup["note"])
    # What is registered with atexit runs, unless a cell runs, which is then killed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    app.start()


def _connection(folder: str, key: str) -> dict[str, Any]:
    return {
        "transport": "ipc",
        "ip": f"{folder}/kernel",
        "key": key,
        "signature_scheme": "hmac-sha256",
        "shell_port": 1,
        "iopub_port": 2,
        "stdin_port": 3,
        "control_port": 4,
        "hb_port": 5,
    }


def _enter(cwd: str | None) -> None:
    """Go to the notebook's folder; to the home where that is not to be had."""
    for place in (cwd, os.environ.get("HOME")):
        if place:
            with contextlib.suppress(OSError, ValueError):
                os.chdir(place)
                return


def _show_once(shell: Any, note: str) -> None:
    """Tell the user, with the first cell they run, why the kernel before this one ended."""

    def show(*_: object) -> None:
        shell.events.unregister("pre_run_cell", show)
        print(note, file=sys.stderr)  # noqa: T201

    shell.events.register("pre_run_cell", show)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

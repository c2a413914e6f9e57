"""Run one command inside its container, and say on the way out how it went.

The Docker launcher mounts this file and starts it with ``python -I -S``: standard library
only, so the image needs nothing of ours. It

* takes secrets from its standard input, so that they are neither on the host's disk nor in
  what the engine says of the container;
* writes the command's output to a file, up to a limit;
* ends the command at its time limit, and after its grace, even when no worker is alive;
* writes how the command ended and the most memory the container took.

The command runs as the same user and may interfere: then it spoils its own record only. What
decides over anything but words is asked from the engine.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time

#: Exit status when the secrets did not arrive: the command was never started.
NEVER_STARTED = 119
#: Seconds to wait for them.
PATIENCE = 30
PIECE = 65536

#: Processes killed, and the most memory taken: cgroup version 1, and 2 (from Linux 5.19 on).
EVENTS = ("/sys/fs/cgroup/memory/memory.oom_control", "/sys/fs/cgroup/memory.events")
PEAKS = ("/sys/fs/cgroup/memory/memory.max_usage_in_bytes", "/sys/fs/cgroup/memory.peak")


def receive() -> dict[str, str]:
    """Read the line of secrets; exit when whoever should send it has gone."""
    deadline = time.monotonic() + PATIENCE
    line = b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([0], [], [], max(0, deadline - time.monotonic()))
        piece = os.read(0, PIECE) if ready else b""
        if not piece:
            os._exit(NEVER_STARTED)
        line += piece
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    found: dict[str, str] = json.loads(line)
    return found


class Log:
    """Output, cut off at a limit."""

    def __init__(self, path: str, limit: int) -> None:
        self.file = os.open(path, os.O_WRONLY | os.O_APPEND)
        self.limit = self.left = limit

    def write(self, content: bytes) -> None:
        """Keep what there is room for."""
        if not self.left:
            return
        kept = content[: self.left]
        self.left -= len(kept)
        try:
            os.write(self.file, kept)
            if not self.left:
                note = f"\n[the log ends here: it has reached {self.limit} bytes]\n"
                os.write(self.file, note.encode())
        except OSError:
            # A full disk must not block the command, which would wait for a reader for ever.
            self.left = 0


def spawn(command: list[str], environment: dict[str, str]) -> tuple[int, int]:
    """Start the command in a session of its own; return its id and the end of its output."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        os.set_blocking(reading, False)
        return child, reading
    try:
        os.setsid()
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.execvpe(command[0], command, environment)  # noqa: S606
    except OSError as error:
        os.write(2, f"{command[0]} cannot be started: {error.strerror}\n".encode())
    finally:
        os._exit(127)


def drain(reading: int, log: Log) -> bool:
    """Copy what has been written; false once nobody can write any more."""
    while True:
        try:
            piece = os.read(reading, PIECE)
        except BlockingIOError:
            return True
        if not piece:
            return False
        log.write(piece)
        if len(piece) < PIECE:
            return True


def peak() -> int | None:
    """Return the most memory the container took, in bytes, its files' cache included."""
    for path in PEAKS:
        try:
            with open(path, encoding="ascii") as file:  # noqa: PTH123
                return int(file.read())
        except (OSError, ValueError):
            continue
    return None


def starved() -> bool:
    """Tell whether the kernel has killed a process here for want of memory."""
    for path in EVENTS:
        try:
            with open(path, encoding="ascii") as file:  # noqa: PTH123
                counts = dict(line.split() for line in file)
        except OSError:
            continue
        return counts.get("oom_kill", "0") != "0"
    return False


def watch(child: int, reading: int, log: Log, *, timeout: float | None, grace: float) -> tuple:  # type: ignore[type-arg]
    """Wait for the command's end; return its status and why it was ended, if it was."""
    woken, waking = os.pipe()
    os.set_blocking(waking, False)
    os.set_blocking(woken, False)
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: told.append(number))
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
    began = time.monotonic()
    cause: str | None = None
    kill_at: float | None = None
    sources = [reading, woken]
    while True:
        ready, _, _ = select.select(sources, [], [], 0.5)
        if woken in ready:
            os.read(woken, PIECE)
        if reading in ready and not drain(reading, log):
            sources = [woken]
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            drain(reading, log)
            return status, cause
        now = time.monotonic()
        if timeout is not None and now - began > timeout and cause is None:
            cause = "timeout"
        elif told and cause is None:
            cause = "terminated"
        elif cause is None and starved():
            # The kernel took the largest; what is left has little use, but may save something.
            cause = "memory"
        if cause is not None and kill_at is None:
            kill_at = now + grace
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGTERM)
        if kill_at is not None and now > kill_at:
            # Everyone in this container but init and this process.
            os.kill(-1, signal.SIGKILL)


def main(arguments: list[str]) -> int:
    """Do it; return the exit status."""
    given = json.loads(arguments[0])
    environment = dict(os.environ) | receive()
    log = Log(given["log"], given["log_bytes"])
    child, reading = spawn(arguments[1:], environment)
    status, cause = watch(child, reading, log, timeout=given["timeout_s"], grace=given["grace_s"])
    code = os.waitstatus_to_exitcode(status)
    said = json.dumps({"exit_code": code, "cause": cause, "peak": peak()})
    # Over blanks that take the room of it, which a disk that is full by now has not.
    end = os.open(given["end"], os.O_WRONLY)
    os.write(end, said.encode())
    os.fsync(end)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Run one command to its end, away from whoever asked for it.

The local launcher starts this file with ``python -I -S shim.py FOLDER LOCK_FD``: standard
library only, so that it starts in milliseconds and needs nothing of ours. It outlives the
control plane; while it lives it holds a lock on ``FOLDER/lock``, which is how anybody knows.

It reads ``spec.json``, writes ``shim.json`` (who it is) and ``log`` (the command's output) and,
at the end, ``exit.json``. A file named ``stop``, or SIGTERM, asks it to end the command.
Secrets come as environment and are written nowhere.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
import time
from typing import Any

#: Seconds between looks at memory, clock and the ``stop`` file.
INTERVAL = 0.2
#: Seconds between searches for new processes of the tree; a search reads all of ``/proc``.
SEARCH_EVERY = 1.0

#: Bytes that its last word takes at most.
RESERVE = 1024

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
PAGE = os.sysconf("SC_PAGE_SIZE")
MIB = 2**20
ENDING = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
AWAITED = {signal.SIGCHLD, *ENDING}

libc = ctypes.CDLL(None, use_errno=True)


def write_json(name: str, content: dict[str, Any]) -> None:
    """Write a file in one step: readers see all of it or none."""
    with open(name + ".part", "w", encoding="utf-8") as file:  # noqa: PTH123
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    os.rename(name + ".part", name)  # noqa: PTH104


def stat_fields(pid: int) -> list[str]:
    """Return the fields of ``/proc/PID/stat`` from the third on; the second may hold blanks."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
        return file.read().rpartition(")")[2].split()


def descendants() -> list[int]:
    """Find every living process below this one.

    Orphans among them belong to this process too (it is their subreaper), so one that leaves
    its session and its parent, as kernels do, is found all the same.
    """
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208
        if entry.isdigit():
            try:
                fields = stat_fields(int(entry))
            except OSError:
                continue
            if fields[0] != "Z":
                children.setdefault(int(fields[1]), []).append(int(entry))
    found, pending = [], [os.getpid()]
    while pending:
        below = children.get(pending.pop(), [])
        found += below
        pending += below
    return found


def resident(pid: int) -> int:
    """Return the resident memory of a process in bytes, 0 when it has ended."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:  # noqa: PTH123
            return int(file.read().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


def kill(pid: int, number: int) -> None:
    """Signal a process that may have ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


class Shim:
    """One command and its limits."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self.started = time.time()
        self.clock = time.monotonic()
        self.child = 0
        self.cause: str | None = None
        self.kill_at: float | None = None
        self.peak = 0
        self.tree: list[int] = []
        self.searched = 0.0

    def run(self) -> None:
        """Run the command to its end and leave nothing of it behind."""
        self.child = self.spawn()
        while True:
            received = signal.sigtimedwait(AWAITED, INTERVAL)
            status = self.reap()
            if status is not None:
                break
            if (received and received.si_signo in ENDING) or os.path.exists("stop"):  # noqa: PTH110
                self.end("stopped")
            self.check_limits()
        self.clear()
        self.peak = max(self.peak, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
        self.report(os.waitstatus_to_exitcode(status))

    def report(self, exit_code: int | None) -> None:
        """Say how it ended, for whoever asks later."""
        content = {
            "exit_code": exit_code,
            "cause": self.cause,
            "peak_memory_mb": round(self.peak / MIB, 1),
            "started_at": self.started,
            "ended_at": self.started + time.monotonic() - self.clock,
        }
        with open("exit.json.part", "r+", encoding="utf-8") as file:  # noqa: PTH123
            # What is left of the reserve are blanks, which JSON bears.
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.rename("exit.json.part", "exit.json")  # noqa: PTH104

    @staticmethod
    def reserve() -> None:
        """Take the room for the last word, which a disk that is full by then has not."""
        with open("exit.json.part", "w", encoding="utf-8") as file:  # noqa: PTH123
            file.write(" " * RESERVE)
            file.flush()
            os.fsync(file.fileno())

    def spawn(self) -> int:
        """Start the command in a session of its own, which dies with this process."""
        shim = os.getpid()
        log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        child = os.fork()
        if child:
            os.close(log)
            return child
        try:
            os.setsid()
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != shim:
                os._exit(1)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(log, 1)
            os.dup2(log, 2)
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            os.chdir(self.spec["directory"])
            os.execvpe(self.spec["command"][0], self.spec["command"], os.environ)  # noqa: S606
        except OSError as error:
            name = self.spec["command"][0]
            os.write(log, f"{name} cannot be started: {error.strerror}\n".encode())
        finally:
            os._exit(127)

    def reap(self) -> int | None:
        """Collect ended children, adopted ones too; return the command's status if it ended."""
        found = None
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return found
            if pid == 0:
                return found
            if pid == self.child:
                found = status

    def check_limits(self) -> None:
        """Measure the tree, and end it where it is too large, too old or will not end."""
        now = time.monotonic()
        if now - self.searched >= SEARCH_EVERY:
            self.tree, self.searched = descendants(), now
        sizes = {pid: resident(pid) for pid in self.tree}
        self.peak = max(self.peak, sum(sizes.values()))
        memory, timeout = self.spec["memory_mb"], self.spec["timeout_s"]
        if memory is not None and sum(sizes.values()) > memory * MIB and self.cause is None:
            # As the kernel's own killer does: the largest goes at once, before the machine
            # suffers; the rest may still save what it has.
            kill(max(sizes, key=lambda pid: sizes[pid]), signal.SIGKILL)
            self.end("memory")
        if timeout is not None and now - self.clock > timeout:
            self.end("timeout")
        if self.kill_at is not None and now > self.kill_at:
            for pid in descendants():
                kill(pid, signal.SIGKILL)

    def end(self, cause: str) -> None:
        """Ask the command to end; the first cause is the one that counts."""
        if self.cause is None:
            self.cause = cause
            self.kill_at = time.monotonic() + self.spec["grace_s"]
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.child, signal.SIGTERM)

    def clear(self) -> None:
        """Kill what the command left running."""
        deadline = time.monotonic() + 10
        while (left := descendants()) and time.monotonic() < deadline:
            for pid in left:
                kill(pid, signal.SIGKILL)
            signal.sigtimedwait(AWAITED, 0.05)
            self.reap()


def main(folder: str, lock: int) -> None:
    """Detach from the launcher, tell it so, and run."""
    os.chdir(folder)
    # The lock is this process's alone: the command must not keep it held.
    os.set_inheritable(lock, False)
    ready, telling = os.pipe()
    if os.fork():
        os.close(telling)
        os._exit(0 if os.read(ready, 1) else 1)
    os.close(ready)
    signal.pthread_sigmask(signal.SIG_BLOCK, AWAITED)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with open("spec.json", encoding="utf-8") as file:  # noqa: PTH123
        shim = Shim(json.load(file))
    pid = os.getpid()
    who = {"pid": pid, "start_ticks": int(stat_fields(pid)[19]), "started_at": shim.started}
    shim.reserve()
    write_json("shim.json", who)
    os.write(telling, b"1")
    os.close(telling)
    shim.run()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

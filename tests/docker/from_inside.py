"""What an attacker with a Python shell in a container tries: prints one JSON object.

Run inside, as ``python -c``; ``sys.argv[1]`` holds ``reach`` (name → host and port), and
``host_pid`` and ``host_command``, a process of the host. Each value of the result says what
happened, and starts with ``refused`` or ``done``.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)
given = json.loads(sys.argv[1])
found: dict[str, str] = {}


def attempt(name: str, what: Callable[[], object]) -> None:
    try:
        answer = what()
    except OSError as error:
        found[name] = f"refused: {error.strerror or type(error).__name__}"
    else:
        found[name] = f"done: {answer}"


def call(name: str, *arguments: object) -> int:
    """Call a function of the C library; raise what went wrong."""
    answer = int(getattr(libc, name)(*arguments))
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return answer


def reach(host: str, port: int) -> str:
    with socket.create_connection((host, port), timeout=5) as connection:
        return connection.recv(100).decode()


def write(path: str) -> str:
    Path(path).write_text("x")
    Path(path).unlink()
    return "written"


def setuid_program() -> str:
    """Start a program that belongs to root and is setuid; see as whom it runs."""
    program = next(
        path for path in ("/usr/bin/su", "/bin/su") if Path(path).stat().st_mode & 0o4000
    )
    process = subprocess.Popen(
        [program, "-c", "id"], stdin=subprocess.PIPE, stdout=-3, stderr=-3, start_new_session=True
    )
    try:
        # Popen returns once the program runs, and with it its user.
        status = Path(f"/proc/{process.pid}/status").read_text()
        uids = status.partition("Uid:")[2].split()[:4]
    finally:
        process.kill()
        process.communicate()
    if "0" not in uids:
        raise PermissionError(1, f"it runs as {uids[1]}")
    return "it runs as root"


def see_host_process() -> str:
    if Path(f"/proc/{given['host_pid']}/cmdline").read_text() == given["host_command"]:
        return "seen"
    raise ProcessLookupError(3, "No such process")


def strangers() -> str:
    """Trace a process that is not ours to trace: none but our own can be seen."""
    with contextlib.suppress(PermissionError):
        call("ptrace", 16, given["host_pid"], 0, 0)
        return "attached"
    raise PermissionError(1, "Operation not permitted")


def fork_bomb() -> str:
    children = []
    try:
        for _ in range(10_000):
            child = os.fork()
            if child == 0:
                signal.pause()
            children.append(child)
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror} after {len(children)}") from None
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
        for child in children:
            os.waitpid(child, 0)
    return f"{len(children)} processes"


def device() -> str:
    os.mknod("/tmp/disk", 0o60000 | 0o600, os.makedev(8, 0))
    return "made"


def ipv6() -> str:
    lines = Path("/proc/net/if_inet6").read_text().splitlines()
    addresses = [line for line in lines if not line.rstrip().endswith(" lo")]
    if not addresses:
        raise OSError(99, "no IPv6 address")
    return addresses[0].strip()


threads = [
    threading.Thread(target=attempt, args=(name, lambda place=place: reach(*place)))
    for name, place in given["reach"].items()
]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
attempt("IPv6", ipv6)
for path in ("/var/run/docker.sock", "/run/containerd/containerd.sock"):
    attempt(f"connect to {path}", lambda path=path: socket.socket(socket.AF_UNIX).connect(path))
attempt("open a raw socket", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
attempt("open a packet socket", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 768))
attempt("become root (setuid)", lambda: os.setuid(0))
attempt("become root (a setuid program)", setuid_program)
attempt("become root (a user namespace)", lambda: call("unshare", 0x10000000))
attempt("mount a file system", lambda: call("mount", b"x", b"/tmp", b"tmpfs", 0, None))
attempt("make a device file", device)
attempt("open /dev/mem", lambda: os.open("/dev/mem", os.O_RDONLY))
disk = next(Path("/dev").glob("[sv]d?"), Path("/dev/sda"))
attempt("open a disk", lambda: os.open(disk, os.O_RDONLY))
attempt("see a process of the host", see_host_process)
attempt("trace a process of the host", strangers)
attempt("change a kernel setting", lambda: write("/proc/sys/kernel/core_pattern"))
attempt("load a kernel module", lambda: call("syscall", 175, b"", 0, b""))
attempt("use bpf", lambda: call("syscall", 321, 5, None, 0))
for place in ("/etc", "/usr/bin", "/opt/perijove", "/"):
    attempt(f"write in {place}", lambda place=place: write(f"{place.rstrip('/')}/x"))
for place in (os.environ["HOME"], "/tmp"):
    attempt(f"write in {place}", lambda place=place: write(f"{place}/x"))
attempt("start processes without end", fork_bomb)
print(json.dumps(found))

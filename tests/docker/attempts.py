"""Ways out of a container, tried for real, each with what has to come of it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from perijove_hub.context import INSIDE_PORTS, Context, Topology
from perijove_hub.engine import Names, firewall, network
from perijove_hub.launch import Kind, Phase, Workload
from perijove_hub.launch.docker import DockerLauncher

INSIDE = Path(__file__).with_name("from_inside.py")

#: Addresses beyond the host where something listens; one of each kind, not likely to be used.
BEYOND = {
    "a metadata service (169.254.169.254)": "169.254.169.254",
    "a private network (10.0.0.0/8)": "10.254.253.77",
    "a private network (172.16.0.0/12)": "172.31.253.77",
    "a private network (192.168.0.0/16)": "192.168.253.77",
    "a carrier's network (100.64.0.0/10)": "100.127.253.77",
}
PUBLIC, ALLOWED = "203.0.113.77", "10.254.253.78"
#: The network between the host and those, and how the host reaches back.
NEAR, FAR = "10.254.252.1", "10.254.252.2"

_SERVE = """
import socketserver, sys, threading
class Hello(socketserver.BaseRequestHandler):
    def handle(self): self.request.sendall(b"hello")
socketserver.ThreadingTCPServer.allow_reuse_address = True
for port in sys.argv[1:]:
    server = socketserver.ThreadingTCPServer(("0.0.0.0", int(port)), Hello)
    threading.Thread(target=server.serve_forever).start()
"""


@dataclass(frozen=True)
class Row:
    """One line of the matrix."""

    attempt: str
    expected: str
    """``refused`` or ``done``."""
    outcome: str

    @property
    def held(self) -> bool:
        """Whether it came out as it has to."""
        return self.outcome.startswith(self.expected)


class _Hello(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.sendall(b"hello")


@contextlib.contextmanager
def listening(host: str) -> Iterator[int]:
    """Greet whoever connects; gives the port."""
    with socketserver.ThreadingTCPServer((host, 0), _Hello) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@contextlib.contextmanager
def beyond() -> Iterator[str]:
    """A machine beyond the host that has all those addresses and listens; gives its name."""
    name = f"pjt{os.getpid()}"
    near, far = f"{name}n", f"{name}f"
    addresses = [*BEYOND.values(), PUBLIC, ALLOWED]
    inside = ["ip", "netns", "exec", name]
    _ip("netns", "add", name)
    try:
        _ip("link", "add", near, "type", "veth", "peer", "name", far, "netns", name)
        _ip("addr", "add", f"{NEAR}/30", "dev", near)
        _ip("link", "set", near, "up")
        for device, addition in (("lo", None), (far, f"{FAR}/30")):
            if addition:
                _run(*inside, "ip", "addr", "add", addition, "dev", device)
            _run(*inside, "ip", "link", "set", device, "up")
        _run(*inside, "ip", "route", "add", "default", "via", NEAR)
        for address in addresses:
            _run(*inside, "ip", "addr", "add", f"{address}/32", "dev", "lo")
            _ip("route", "add", f"{address}/32", "via", FAR)
        server = subprocess.Popen([*inside, sys.executable, "-c", _SERVE, "80", "81"])
        try:
            # The host itself gets through: what is refused below is refused by the rules.
            for address in addresses:
                for port in (80, 81):
                    _until(lambda place=(address, port): _greets(*place))
            yield name
        finally:
            server.kill()
            server.wait()
    finally:
        # The routes go with the interface, which goes with its other end.
        _ip("netns", "del", name)
        with contextlib.suppress(subprocess.CalledProcessError):
            _ip("link", "del", near)


def attempts(root: Path, *, closed: bool = True) -> list[Row]:
    """Try everything on a network of its own, with its data in ``root``; about 20 s.

    Needs root, an engine that answers and ``perijove/cpu:latest`` on it. Not ``closed`` is for
    comparison: the same without the firewall.
    """
    context = Context.open(root, None)
    names = Names.of(context.data.root)
    host = network.ensure(names)
    launcher = DockerLauncher(context)
    with contextlib.ExitStack() as stack:
        stack.callback(_clean, launcher, names)
        part = stack.enter_context(listening(host))
        other = stack.enter_context(listening(host))
        everywhere = stack.enter_context(listening("0.0.0.0"))
        far = stack.enter_context(beyond())
        topology = Topology(
            public_url="http://127.0.0.1:8000",
            hub_api_url=f"http://{host}:{part}/hub/api",
            host=host,
            api_port=part,
            mlflow_port=part,
            gateway_port=part,
            spawner="docker",
        )
        topology.save(context.data.run / "topology.json")
        firewall.enforce(names, topology, [f"{ALLOWED}:80"])
        neighbour = _neighbour(launcher)
        if not closed:
            firewall.lift(names)
            launcher._close_network = lambda: None  # type: ignore[method-assign]
        refused = {
            "another container": (neighbour, 8080),
            "the host, on the bridge's address": (host, other),
            "the host, on all its addresses": (host, everywhere),
            "the host, at another of its addresses": (NEAR, everywhere),
            "a part, at the port it listens on": (host, part),
            **{place: (address, 80) for place, address in BEYOND.items()},
            "an allowed address, at another port": (ALLOWED, 81),
        }
        done = {
            "the API, at the port for containers": (host, INSIDE_PORTS["api"]),
            "the internet (a public address)": (PUBLIC, 80),
            "an address in network.allow": (ALLOWED, 80),
        }
        rows = _inside(launcher, refused, done)
        rows.append(_from("the host reaches a container", "done", neighbour))
        rows.append(_from("others reach a container", "refused", neighbour, far))
        rows.append(_memory(launcher))
    return rows


def _inside(
    launcher: DockerLauncher,
    refused: dict[str, tuple[str, int]],
    done: dict[str, tuple[str, int]],
) -> list[Row]:
    given = json.dumps(
        {
            "reach": {**refused, **done},
            "host_pid": os.getpid(),
            "host_command": Path("/proc/self/cmdline").read_text(),
        }
    )
    command = ("python", "-c", INSIDE.read_text(encoding="utf-8"), given)
    launcher.start(Workload("attacker", Kind.task, command, memory_mb=4096))
    _until(lambda: launcher.poll("attacker").phase is not Phase.running, 120)
    said = launcher.logs("attacker", 0, 10**6)[0].decode()
    found: dict[str, str] = json.loads(said.splitlines()[-1])
    allowed = {*done, "write in /workload", "write in /tmp"}
    return [
        Row(
            f"reach {name}" if name in refused or name in done else name,
            "done" if name in allowed else "refused",
            outcome,
        )
        for name, outcome in found.items()
    ]


def _neighbour(launcher: DockerLauncher) -> str:
    command = ("python", "-c", _SERVE, "8080")
    launcher.start(Workload("neighbour", Kind.service, command, memory_mb=256))
    address = launcher.poll("neighbour").address
    assert address is not None
    _until(lambda: _greets(address, 8080))
    return address


def _from(what: str, expected: str, address: str, far: str = "") -> Row:
    """Try to reach a container from the host, or from the machine ``far``."""
    code = (
        f"import socket; print(socket.create_connection(({address!r}, 8080), 3).recv(9).decode())"
    )
    prefix = ["ip", "netns", "exec", far] if far else []
    tried = subprocess.run(
        [*prefix, sys.executable, "-c", code], capture_output=True, text=True, timeout=30
    )
    if tried.returncode == 0:
        return Row(what, expected, f"done: {tried.stdout.strip()}")
    return Row(what, expected, f"refused: {tried.stderr.strip().splitlines()[-1]}")


def _memory(launcher: DockerLauncher) -> Row:
    code = "x = []\nwhile True: x.append(bytearray(2**20))"
    launcher.start(Workload("hungry", Kind.task, ("python", "-c", code), memory_mb=128))
    _until(lambda: launcher.poll("hungry").phase is not Phase.running)
    status = launcher.poll("hungry")
    came = "refused" if status.cause == "memory" else "done"
    outcome = f"{came}: ended because of {status.cause}, at {status.peak_memory_mb} MiB"
    return Row("take more memory than its limit (128 MiB)", "refused", outcome)


def _clean(launcher: DockerLauncher, names: Names) -> None:
    for status in launcher.list():
        launcher.stop(status.name)
    _until(lambda: all(status.phase is not Phase.running for status in launcher.list()))
    for status in launcher.list():
        launcher.remove(status.name)
    launcher.close()
    network.remove(names)
    firewall.lift(names)


def _greets(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=2) as connection:
            return connection.recv(5) == b"hello"
    except OSError:
        return False


def _until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("waited in vain")
        time.sleep(0.05)


def _ip(*arguments: str) -> None:
    _run("ip", *arguments)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def as_json(rows: list[Row]) -> str:
    """Return the matrix for whoever prints it."""
    return json.dumps([{**asdict(row), "held": row.held} for row in rows], indent=2)

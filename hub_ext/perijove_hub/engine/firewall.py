"""What containers reach, as one nftables table that touches nothing else on the host.

Only packets that come in or go out by our own bridge are looked at. Containers reach the
parts at fixed ports (redirected to wherever those listen now), the resolvers of
``/etc/resolv.conf``, and the internet; not the host, not each other, no private networks.
"""

from __future__ import annotations

import ipaddress
import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from perijove_hub.context import INSIDE_PORTS, Topology
from perijove_hub.engine.allow import Allowed
from perijove_hub.engine.names import Names
from perijove_hub.up.exceptions import StartError

#: Not the internet: private networks, metadata services, carriers' own, multicast, the rest.
CLOSED = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/4",
    "240.0.0.0/4",
)
#: Whether packets from one port of a bridge to another come past the firewall at all.
_BRIDGED = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
_HOOKS = {"moved": "prerouting", "forward": "forward", "input": "input"}
_SBIN = "/usr/sbin:/sbin"


def enforce(names: Names, topology: Topology | None, allow: Sequence[str]) -> None:
    """Put the table in force, in one step, in place of one from before.

    ``None`` for a network from which no part is reached: that of builds.
    Raises ``StartError`` when it cannot be: then nothing may be started on the network.
    """
    if not Path(f"/sys/class/net/{names.bridge}").exists():
        raise StartError(
            f"the containers' bridge {names.bridge} is not on this machine: the Docker engine "
            "has to run on the machine of the control plane, for its network to be closed."
        )
    if not _sees_neighbours():
        raise StartError(
            "containers would reach each other: this machine's bridges pass the firewall by. Run "
            "`sysctl -w net.bridge.bridge-nf-call-iptables=1`, and see that it stays so."
        )
    entries = [Allowed.parse(entry) for entry in allow]
    _nft(table(names, topology, entries, _resolvers()))


def in_force(names: Names) -> bool:
    """Tell whether the whole table is there; false too for who may not look."""
    if not _sees_neighbours():
        return False
    try:
        listed = json.loads(_nft("", "-j", "list", "table", "inet", _table(names)))["nftables"]
    except (StartError, ValueError):
        return False
    by_kind = {kind: [item[kind] for item in listed if kind in item] for kind in ("chain", "rule")}
    hooks = {chain["name"]: chain.get("hook") for chain in by_kind["chain"]}
    marks = [rule["comment"] for rule in by_kind["rule"] if "comment" in rule]
    return hooks == _HOOKS and marks == [_mark(len(by_kind["rule"]))]


def lift(names: Names) -> None:
    """Remove the table, if it is there."""
    name = _table(names)
    _nft(f"table inet {name}\ndelete table inet {name}\n")


def can_enforce() -> str | None:
    """Return why this process could not put a table in force; ``None`` when it could."""
    try:
        _nft("", "list", "tables")
    except StartError as error:
        return str(error)
    return None


def table(
    names: Names, topology: Topology | None, allow: Sequence[Allowed], resolvers: Sequence[str]
) -> str:
    """Return the rules, as ``nft -f`` reads them."""
    bridge = names.bridge
    host, ports = (topology.host, topology.ports) if topology else ("", {})
    moved = [
        f'iifname "{bridge}" ip daddr {host} tcp dport {INSIDE_PORTS[part]} redirect to :{port}'
        for part, port in ports.items()
    ]
    dns = [
        f'iifname "{bridge}" ip daddr {{ {", ".join(resolvers)} }} {protocol} dport 53 accept'
        for protocol in ("udp", "tcp")
        if resolvers
    ]
    forward = [
        # First, so that no entry of `allow` opens a way between containers.
        f'oifname "{bridge}" iifname != "{bridge}" ct state established,related accept',
        f'oifname "{bridge}" counter drop',
        f'iifname "{bridge}" meta nfproto != ipv4 counter drop',
        *dns,
        *(f'iifname "{bridge}" {_match(entry)} accept' for entry in allow),
        *(f'iifname "{bridge}" ip daddr {closed} counter drop' for closed in CLOSED),
    ]
    own = [entry for entry in allow if entry.network.prefixlen == 32 and entry.port]
    inputs = [
        f'iifname "{bridge}" ct state established,related accept',
        # What `moved` sent here and nothing else: not their real ports, not another's redirect.
        *(
            f'iifname "{bridge}" ip daddr {host} tcp dport {port} ct status dnat '
            f"ct original proto-dst {INSIDE_PORTS[part]} accept"
            for part, port in ports.items()
        ),
        *dns,
        *(f'iifname "{bridge}" {_match(entry)} accept' for entry in own),
    ]
    count = len(moved) + len(forward) + len(inputs) + 1
    inputs.append(f'iifname "{bridge}" counter drop comment "{_mark(count)}"')
    name = _table(names)
    # "table" before "delete": there is none to delete the first time.
    return "\n".join(
        [
            f"table inet {name}",
            f"delete table inet {name}",
            f"table inet {name} {{",
            *_chain("moved", "type nat hook prerouting priority -110", moved),
            *_chain("forward", "type filter hook forward priority -10", forward),
            *_chain("input", "type filter hook input priority -10", inputs),
            "}\n",
        ]
    )


def _chain(name: str, head: str, rules: Sequence[str]) -> list[str]:
    return [f"chain {name} {{", f"{head}; policy accept;", *rules, "}"]


def _match(entry: Allowed) -> str:
    port = f" meta l4proto {{ tcp, udp }} th dport {entry.port}" if entry.port else ""
    return f"ip daddr {entry.network}{port}"


def _mark(rules: int) -> str:
    """What the last rule says, to tell whether somebody has taken one out."""
    return f"the last of {rules}"


def _table(names: Names) -> str:
    return f"perijove_{names.key}"


def _sees_neighbours() -> bool:
    """Tell whether what one container sends to another meets the table."""
    try:
        return _BRIDGED.read_text(encoding="ascii").strip() == "1"
    except OSError:
        # Before the engine has made its first bridge.
        return False


def _resolvers() -> list[str]:
    """Return the machine's name servers: Docker passes containers' questions on to them."""
    found = []
    for line in Path("/etc/resolv.conf").read_text(encoding="utf-8", errors="replace").splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            try:
                address = ipaddress.IPv4Address(words[1])
            except ValueError:
                continue
            if not address.is_loopback:
                found.append(str(address))
    return list(dict.fromkeys(found))


def _nft(rules: str, *arguments: str) -> str:
    program = shutil.which("nft") or shutil.which("nft", path=_SBIN)
    if program is None:
        raise StartError("containers need the firewall nftables: install it (apt install nftables)")
    done = subprocess.run(
        [program, *(arguments or ("-f", "-"))], input=rules, capture_output=True, text=True
    )
    if done.returncode == 0:
        return done.stdout
    lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
    if "Operation not permitted" in done.stderr:
        raise StartError(
            "only root may close the containers' network: run perijove up as root, or use "
            "--spawner local."
        )
    raise StartError(f"nft refuses the containers' firewall: {lines[0]}")

"""Workspaces in containers, from a click on Start to a usable Lab, against DockerSpawner.

    python bench/spawn_docker.py [--alone N] [--rounds N] [--users N]

Both start the same image on the same engine with the same limits, JupyterHub and proxy. Stock
DockerSpawner has its own defaults and runs JupyterHub's own server. Perijove is measured twice:
every container made on Start, and from a pool of containers that wait. A figure is from the
request that presses Start, with a user's own token, to JupyterLab's page, or to the first cell's
output in a new kernel; the start's progress is followed as the browser follows it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import docker
import httpx
import websocket

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.spawn import answers, free_port, running, seconds_until

IMAGE = "perijove/cpu:latest"
#: Seconds after which somebody who waits is counted as not served.
LIMIT = 90.0
#: What is asked for: all of them ready within these seconds.
GOAL = 15.0
STOCK, COLD, WARM = "DockerSpawner", "Perijove, cold", "Perijove, warm"

STOCK_CONFIG = """
import os

c = get_config()
c.JupyterHub.bind_url = os.environ["BENCH_URL"]
c.JupyterHub.hub_ip = c.JupyterHub.hub_connect_ip = os.environ["BENCH_BRIDGE"]
c.JupyterHub.hub_port = int(os.environ["BENCH_HUB_PORT"])
c.ConfigurableHTTPProxy.api_url = os.environ["BENCH_PROXY_API"]
c.JupyterHub.db_url = "sqlite:///hub.sqlite"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "dockerspawner.DockerSpawner"
c.DockerSpawner.image = os.environ["BENCH_IMAGE"]
c.DockerSpawner.cmd = ["jupyterhub-singleuser"]
c.DockerSpawner.pull_policy = "never"
c.DockerSpawner.prefix = os.environ["BENCH_PREFIX"]
c.DockerSpawner.use_internal_ip = True
c.DockerSpawner.network_name = os.environ["BENCH_PREFIX"]
c.DockerSpawner.remove = True
c.DockerSpawner.mem_limit = "2G"
c.DockerSpawner.cpu_limit = 1
c.DockerSpawner.volumes = {os.path.abspath("homes") + "/{username}": "/home/perijove"}
c.Spawner.default_url = "/lab"
c.JupyterHub.services = [{"name": "bench", "api_token": os.environ["BENCH_TOKEN"]}]
c.JupyterHub.load_roles = [
    {"name": "bench", "services": ["bench"], "scopes": ["admin:users", "admin:servers", "tokens"]}
]
"""

PERIJOVE_CONFIG = """
[workspaces.warm]
count = {count}
"""


@dataclass
class Site:
    """A running Hub."""

    url: str
    admin: str
    """A token that may make users and their tokens."""
    folder: Path
    warm: int = 0
    """Containers that wait when the pool is full."""
    tokens: dict[str, str] = field(default_factory=dict)

    def enrol(self, users: list[str]) -> None:
        """Make users, and a token of each."""
        with self._client(self.admin) as hub:
            hub.post("/hub/api/users", json={"usernames": users}).raise_for_status()
            for user in users:
                made = hub.post(f"/hub/api/users/{user}/tokens", json={"expires_in": 86_400})
                self.tokens[user] = made.raise_for_status().json()["token"]

    def start(self, user: str) -> tuple[float, float]:
        """Press Start; return the seconds to the page and to the first output.

        Both are infinite for who is told that it failed, or waits longer than ``LIMIT``.
        """
        began = time.monotonic()
        try:
            with self._client(self.tokens[user]) as client:
                self._press_start(client, user, began)
                page = time.monotonic() - began
                self._first_cell(client, user)
                return page, time.monotonic() - began
        except (httpx.HTTPError, TimeoutError, websocket.WebSocketException) as error:
            print(f"  {user}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            return math.inf, math.inf

    def stop(self, user: str) -> None:
        """Stop a workspace and wait until the Hub has forgotten it."""
        with self._client(self.tokens[user]) as client:
            client.delete(f"/hub/api/users/{user}/server")
            seconds_until(lambda: not self._servers(client, user), since=time.monotonic())

    def rest(self) -> None:
        """Wait until the pool is full and the machine has calmed down."""
        if self.warm:
            from sqlalchemy import func, select

            from perijove_hub.store import Database
            from perijove_hub.store.models import WarmRow

            ready = select(func.count()).where(WarmRow.state == "ready")
            database = Database(f"sqlite:///{self.folder / 'data' / 'perijove.sqlite'}")

            def full() -> bool:
                with database.reading() as session:
                    return (session.scalar(ready) or 0) >= self.warm

            seconds_until(full, since=time.monotonic(), limit=300)
            database.close()
        time.sleep(2)

    def _client(self, token: str) -> httpx.Client:
        headers = {"Authorization": f"token {token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=LIMIT, trust_env=False)

    def _press_start(self, client: httpx.Client, user: str, began: float) -> None:
        asked = client.post(f"/hub/api/users/{user}/server")
        asked.raise_for_status()
        if asked.status_code == 202:
            with client.stream("GET", f"/hub/api/users/{user}/server/progress") as events:
                for line in events.iter_lines():
                    news = json.loads(line[6:]) if line.startswith("data: ") else {}
                    if news.get("failed"):
                        raise TimeoutError(str(news.get("message")))
                    if news.get("ready") or time.monotonic() - began > LIMIT:
                        break
        while client.get(f"/user/{user}/lab", follow_redirects=False).status_code != 200:
            if time.monotonic() - began > LIMIT:
                raise TimeoutError(f"not ready after {LIMIT:g} s")
            time.sleep(0.05)

    def _first_cell(self, client: httpx.Client, user: str) -> None:
        made = client.post(f"/user/{user}/api/kernels", json={"name": "python3"})
        kernel = made.raise_for_status().json()["id"]
        connection = websocket.create_connection(
            f"ws{self.url.removeprefix('http')}/user/{user}/api/kernels/{kernel}/channels",
            header=[f"Authorization: token {self.tokens[user]}"],
            timeout=LIMIT,
        )
        with contextlib.closing(connection):
            header = {
                "msg_id": uuid.uuid4().hex,
                "msg_type": "execute_request",
                "session": "bench",
                "username": user,
                "version": "5.3",
            }
            content = {"code": "print(6 * 7)", "silent": False, "store_history": False}
            asked = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
            connection.send(json.dumps({**asked, "channel": "shell"}))
            while True:
                said = json.loads(connection.recv())
                if (
                    said["parent_header"].get("msg_id") == header["msg_id"]
                    and said["header"]["msg_type"] == "stream"
                ):
                    return

    def _servers(self, client: httpx.Client, user: str) -> dict[str, object]:
        found: dict[str, object] = client.get(f"/hub/api/users/{user}").json()["servers"]
        return found


@contextlib.contextmanager
def stock(folder: Path) -> Iterator[Site]:
    """Run JupyterHub with DockerSpawner as it comes."""
    (folder / "jupyterhub_config.py").write_text(STOCK_CONFIG)
    (folder / "homes").mkdir()
    folder.chmod(0o755)
    engine = docker.from_env()
    prefix = f"perijove-bench-{os.getpid()}"
    network = engine.networks.create(prefix, driver="bridge")
    network.reload()
    url, token = f"http://127.0.0.1:{free_port()}", "bench-" + os.urandom(16).hex()
    with running(
        [sys.executable, "-m", "jupyterhub", "-f", "jupyterhub_config.py"],
        folder,
        BENCH_URL=url,
        BENCH_BRIDGE=network.attrs["IPAM"]["Config"][0]["Gateway"],
        BENCH_HUB_PORT=str(free_port()),
        BENCH_PROXY_API=f"http://127.0.0.1:{free_port()}",
        BENCH_TOKEN=token,
        BENCH_IMAGE=IMAGE,
        BENCH_PREFIX=prefix,
    ):
        seconds_until(lambda: answers(f"{url}/hub/health"), since=time.monotonic())
        yield Site(url, token, folder)
    for left in engine.containers.list(all=True, filters={"name": prefix}):
        left.remove(force=True)
    network.remove()
    engine.close()


@contextlib.contextmanager
def perijove(folder: Path, *, warm: int) -> Iterator[Site]:
    """Run ``perijove up`` with Docker; ``warm`` containers wait."""
    (folder / "perijove.toml").write_text(PERIJOVE_CONFIG.format(count=warm))
    port, data = free_port(), folder / "data"
    up = [sys.executable, "-m", "perijove_hub.cli", "up", "--spawner", "docker"]
    up += ["--port", str(port), "--data-dir", str(data), "--config", "perijove.toml"]
    with running(up, folder):
        log = folder / "log"
        seconds_until(
            lambda: "is ready at" in log.read_text() or "Stopped." in log.read_text(),
            since=time.monotonic(),
        )
        if "is ready at" not in log.read_text():
            raise SystemExit(log.read_text())
        token = (data / "secrets" / "service-cli").read_text()
        yield Site(f"http://127.0.0.1:{port}", token, folder, warm)


def homes(site: Site, users: list[str]) -> None:
    """Make homes for DockerSpawner, which leaves that to the administrator."""
    for user in users:
        home = site.folder / "homes" / user
        if home.parent.is_dir():
            home.mkdir()
            os.chown(home, 1000, 1000)


def measure(site: Site, given: argparse.Namespace) -> tuple[list[Start], list[list[Start]]]:
    """Start one user after another, then all at once in each round."""
    users = [f"user{at}" for at in range(given.users)]
    site.enrol(users)
    homes(site, users)
    alone = []
    # The first start of all reads the image from the disk: it counts for nobody.
    for number in range(given.alone + 1):
        site.rest()
        took = site.start(users[0])
        if number:
            alone.append(took)
        site.stop(users[0])
    together = []
    for _ in range(given.rounds):
        site.rest()
        found: list[Start] = [(math.inf, math.inf)] * len(users)
        barrier = threading.Barrier(len(users))

        def click(at: int, found: list[Start] = found, go: threading.Barrier = barrier) -> None:
            go.wait()
            found[at] = site.start(users[at])

        threads = [threading.Thread(target=click, args=(at,)) for at in range(len(users))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        together.append(found)
        for user in users:
            site.stop(user)
    return alone, together


#: Seconds to the page, and to the first output.
Start = tuple[float, float]


def rows(
    found: dict[str, tuple[list[Start], list[list[Start]]]], users: int
) -> list[tuple[str, list[str]]]:
    """Return the table's rows: a label, and a cell for each contender."""
    table: list[tuple[str, list[str]]] = []
    for at, what in enumerate(("Lab", "first output")):
        for name, share in (("p50", 0.5), ("p95", 0.95)):
            table.append(
                (
                    f"alone: {what}, {name}, s",
                    [cell([one[at] for one in alone], share) for alone, _ in found.values()],
                )
            )
    for at, what in enumerate(("Lab", "first output")):
        for name, share in (("first", 0.0), ("p50", 0.5), ("p95", 0.95), ("last", 1.0)):
            table.append(
                (
                    f"{users} together: {what}, {name}, s",
                    [cell([one[at] for one in flat(many)], share) for _, many in found.values()],
                )
            )
    for label, limit in (
        (f"{users} together: Lab within {GOAL:g} s", GOAL),
        (f"{users} together: Lab within {LIMIT:g} s", LIMIT),
    ):
        cells = []
        for _, many in found.values():
            times = [one[0] for one in flat(many)]
            cells.append(f"{sum(time <= limit for time in times)} of {len(times)}")
        table.append((label, cells))
    return table


def flat(rounds: list[list[Start]]) -> list[Start]:
    """Put the starts of all rounds together."""
    return [one for each in rounds for one in each]


def cell(values: list[float], share: float) -> str:
    """Write the value below which ``share`` of ``values`` are, by nearest rank."""
    if not values:
        return "-"
    ordered = sorted(values)
    found = ordered[max(0, math.ceil(share * len(ordered)) - 1)]
    return f"{found:.2f}" if math.isfinite(found) else "never"


def main() -> None:
    """Print the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--alone", type=int, default=10, help="starts one after another")
    parser.add_argument("--rounds", type=int, default=2, help="rounds of all at once")
    parser.add_argument("--users", type=int, default=10, help="who arrive together")
    parser.add_argument("--only", choices=[STOCK, COLD, WARM], action="append")
    given = parser.parse_args()
    contenders = {
        STOCK: stock,
        COLD: lambda folder: perijove(folder, warm=0),
        WARM: lambda folder: perijove(folder, warm=given.users),
    }
    found = {}
    for name, run in contenders.items():
        if given.only and name not in given.only:
            continue
        print(f"{name}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="pj-") as folder, run(Path(folder)) as site:
            found[name] = measure(site, given)
    version = subprocess.run(
        ["docker", "version", "--format", "{{.Server.Version}}"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    print("## Workspaces in containers\n")
    print(
        f"{given.alone} starts one after another, and {given.rounds} rounds of {given.users} at "
        f"the same moment, on Docker {version}; percentiles by nearest rank over all starts. "
        f"'never' is a start that failed or was not ready after {LIMIT:g} s. The limits are 1 "
        "core and 2 GiB each. A warm start finds a pool with a container for everyone; the load "
        "average says how busy the machine was with other things: "
        f"{', '.join(f'{value:.1f}' for value in os.getloadavg())}.\n"
    )
    print(f"| | {' | '.join(found)} |")
    print(f"|---|{'---:|' * len(found)}")
    for label, cells in rows(found, given.users):
        print(f"| {label} | {' | '.join(cells)} |")
    if STOCK in found and COLD in found:
        halves = [statistics.median(one[0] for one in found[name][0]) for name in (STOCK, COLD)]
        print(f"\nAlone and cold, Perijove takes {halves[1] / halves[0]:.2f} of DockerSpawner.")


if __name__ == "__main__":
    main()

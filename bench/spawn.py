"""The Hub's boot and a workspace's start, against JupyterHub as it comes.

    python bench/spawn.py [--rounds N]

Both have the same Python, configurable-http-proxy, JupyterLab and process spawner. The stock
Hub's workspaces load everything but Perijove's own server extension and panel.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.side_by_side import Figures, table, take_turns

BOOT = "Hub answers through the proxy, s"
EVERYTHING = "everything answers, s"
SPAWN = "workspace answers after Start, s"
AGAIN = "the same, second time, s"

STOCK = """
import os
from jupyterhub.spawner import LocalProcessSpawner

class OneUser(LocalProcessSpawner):
    # As it comes, but for users that the operating system does not know.
    def make_preexec_fn(self, name):
        home = os.path.abspath(os.path.join("homes", name))
        os.makedirs(home, exist_ok=True)
        return lambda: os.chdir(home)

    def user_env(self, env):
        env.update(USER=self.user.name, HOME=os.path.abspath(os.path.join("homes", self.user.name)))
        return env

    def move_certs(self, paths):
        return paths

c = get_config()
c.JupyterHub.bind_url = os.environ["BENCH_URL"]
c.JupyterHub.hub_port = int(os.environ["BENCH_HUB_PORT"])
c.ConfigurableHTTPProxy.api_url = os.environ["BENCH_PROXY_API"]
c.JupyterHub.db_url = "sqlite:///hub.sqlite"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.load_groups = {"research": {"users": ["ada"]}}
c.JupyterHub.spawner_class = OneUser
c.Spawner.cmd = ["python", "-m", "jupyterhub.singleuser"]
c.Spawner.args = ["--allow-root"] if os.geteuid() == 0 else []
c.Spawner.default_url = "/lab"
c.Spawner.environment = {"JUPYTER_CONFIG_DIR": os.path.abspath("plain")}
c.JupyterHub.services = [{"name": "bench", "api_token": os.environ["BENCH_TOKEN"]}]
c.JupyterHub.load_roles = [
    {"name": "bench", "services": ["bench"],
     "scopes": ["admin:users", "admin:servers", "access:servers"]}
]
"""

#: What switches Perijove's parts off in the stock Hub's workspaces.
PLAIN = {
    "jupyter_server_config.json": {"ServerApp": {"jpserver_extensions": {"perijove": False}}},
    "labconfig/page_config.json": {"disabledExtensions": {"perijove": True}},
}


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def seconds_until(condition: Callable[[], bool], *, since: float, limit: float = 180) -> float:
    """Poll until ``condition`` holds; return the seconds since ``since``."""
    while not condition():
        if time.monotonic() - since > limit:
            raise SystemExit(f"gave up after {limit:g} s")
        time.sleep(0.02)
    return time.monotonic() - since


def answers(url: str, token: str | None = None) -> bool:
    """Tell whether ``url`` answers with success, past any redirect to a login."""
    headers = {"Authorization": f"token {token}"} if token else {}
    try:
        return httpx.get(url, headers=headers, timeout=5, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def spawn(url: str, token: str) -> float:
    """Start ada's workspace; return the seconds until it answers through the proxy."""
    began = time.monotonic()
    headers = {"Authorization": f"token {token}"}
    httpx.post(f"{url}/hub/api/users/ada/server", headers=headers, timeout=120).raise_for_status()
    return seconds_until(lambda: answers(f"{url}/user/ada/api/status", token), since=began)


def stop(url: str, token: str) -> None:
    """Stop ada's workspace and wait until the Hub has forgotten it."""
    headers = {"Authorization": f"token {token}"}
    user = f"{url}/hub/api/users/ada"
    httpx.delete(f"{user}/server", headers=headers, timeout=60).raise_for_status()
    seconds_until(
        lambda: not httpx.get(user, headers=headers, timeout=30).json()["servers"],
        since=time.monotonic(),
    )


@contextlib.contextmanager
def running(command: list[str], folder: Path, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process in ``folder`` with its output in ``log``; end it as Ctrl-C does."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(
            command,
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1", **env},
            start_new_session=True,
        )
    try:
        yield child
    except SystemExit:
        print((folder / "log").read_text()[-4000:], file=sys.stderr)
        raise
    finally:
        child.send_signal(signal.SIGINT)
        try:
            child.wait(90)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def stock() -> Figures:
    """Measure JupyterHub as it comes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "jupyterhub_config.py").write_text(STOCK)
        for path, content in PLAIN.items():
            (folder / "plain" / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / "plain" / path).write_text(json.dumps(content))
        url, token = f"http://127.0.0.1:{free_port()}", "bench-" + os.urandom(16).hex()
        began = time.monotonic()
        with running(
            [sys.executable, "-m", "jupyterhub", "-f", "jupyterhub_config.py"],
            folder,
            BENCH_URL=url,
            BENCH_HUB_PORT=str(free_port()),
            BENCH_PROXY_API=f"http://127.0.0.1:{free_port()}",
            BENCH_TOKEN=token,
        ):
            boot = seconds_until(lambda: answers(f"{url}/hub/health"), since=began)
            first = spawn(url, token)
            stop(url, token)
            again = spawn(url, token)
            stop(url, token)
        return {BOOT: boot, SPAWN: first, AGAIN: again}


def perijove() -> Figures:
    """Measure ``perijove up --demo``."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        port, data = free_port(), folder / "data"
        url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "perijove_hub.cli"]
        began = time.monotonic()
        up = [
            *command,
            "up",
            "--demo",
            "--spawner",
            "local",
            "--port",
            str(port),
            "--data-dir",
            str(data),
        ]
        with running(up, folder):
            boot = seconds_until(lambda: answers(f"{url}/hub/health"), since=began)
            ready = seconds_until(
                lambda: "is ready at" in (folder / "log").read_text(), since=began
            )
            asked = subprocess.run(
                [*command, "token", "ada", "--data-dir", str(data)],
                capture_output=True,
                text=True,
                check=True,
            )
            token = asked.stdout.strip()
            first = spawn(url, token)
            stop(url, token)
            again = spawn(url, token)
            stop(url, token)
        return {BOOT: boot, EVERYTHING: ready, SPAWN: first, AGAIN: again}


def main() -> None:
    """Print the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    contenders = {"JupyterHub": stock, "Perijove": perijove}
    found = take_turns(contenders, rounds)
    print("## Boot and spawn\n")
    print(
        f"{rounds} rounds with a fresh data directory each. `perijove up` starts five more "
        "processes while its Hub boots, on the same cores. A workspace answers when its own API "
        "does, through the proxy.\n"
    )
    print(table(found, peer="JupyterHub", ours="Perijove"))


if __name__ == "__main__":
    main()

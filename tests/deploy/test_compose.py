"""One host by docker-compose: TLS, PostgreSQL, restarts, and nothing secret on show."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import httpx
import pytest

from perijove_hub.engine import Names, firewall
from tests.fixtures.processes import ROOT, free_port, wait_until

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

COMPOSE = ROOT / "deploy" / "compose"
PARTS = ("hub", "worker", "api", "mlflow", "gateway", "proxy")


@dataclass
class Deployment:
    """A running compose project."""

    root: Path
    url: str
    http_port: int
    project: str

    def compose(self, *arguments: str) -> str:
        """Run docker-compose and return what it prints."""
        environment = {name: value for name, value in os.environ.items() if "PYTHON" not in name}
        command = ["docker-compose", "--env-file", str(self.root / "compose.env")]
        command += ["-f", str(COMPOSE / "docker-compose.yaml"), "-p", self.project, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
        assert done.returncode == 0, f"{done.stderr}\n{done.stdout}"
        return done.stdout

    def perijove(self, *arguments: str) -> str:
        """Run a `perijove` command where the Hub runs."""
        return self.compose("exec", "-T", "hub", "perijove", *arguments).strip()

    def client(self, token: str | None = None) -> httpx.Client:
        """Return a client that trusts this deployment's certificate and no other."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        trust = ssl.create_default_context(cafile=self.root / "tls" / "cert.pem")
        return httpx.Client(
            base_url=self.url, headers=headers, verify=trust, timeout=60, trust_env=False
        )

    @property
    def containers(self) -> list[Any]:
        """The parts' containers."""
        with contextlib.closing(docker.from_env()) as engine:
            label = {"label": f"com.docker.compose.project={self.project}"}
            return list(engine.containers.list(all=True, filters=label))


def init(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run deploy/compose/init."""
    command = [sys.executable, str(COMPOSE / "init"), str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def deployment(images: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Everything up and answering, and gone without a trace afterwards."""
    if shutil.which("docker-compose") is None or os.geteuid() != 0:
        why = "docker-compose is not installed, or we are not root"
        assert os.environ.get("CI") != "true", why
        pytest.skip(why)
    root = tmp_path_factory.mktemp("compose") / "srv"
    https, http = free_port(), free_port()
    made = init(root, "--url", f"https://localhost:{https}", "--http-port", str(http))
    assert made.returncode == 0, made.stderr
    project = Names.of(root / "data").prefix
    it = Deployment(root, f"https://localhost:{https}", http, project)
    try:
        it.compose("up", "-d")
        with it.client() as client:
            pages = [f"/services/{name}/health" for name in ("perijove/api", "mlflow", "serve")]
            wait_until(
                lambda: all(answers(client, page) for page in pages), seconds=180, what="all parts"
            )
        yield it
    finally:
        it.compose("stop", "-t", "10", *PARTS)
        it.compose("run", "--rm", "-T", "setup", "perijove", "teardown")
        it.compose("down")
        assert not it.containers


def answers(client: httpx.Client, path: str) -> bool:
    """Tell whether a page is there; false while nobody listens."""
    try:
        return client.get(path).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def ada(deployment: Deployment) -> Iterator[httpx.Client]:
    """ada, logged in through TLS, with her workspace running."""
    password = deployment.perijove("users", "add", "ada", "--group", "research")
    with deployment.client() as browser:
        browser.get("/hub/login")
        fields = {"username": "ada", "password": password, "_xsrf": browser.cookies["_xsrf"]}
        assert browser.post("/hub/login", data=fields).status_code == 302
        assert browser.get("/hub/home").status_code == 200
        # The Hub's mark against forged requests is no credential.
        insecure = {cookie.name for cookie in browser.cookies.jar if not cookie.secure}
        assert insecure <= {"_xsrf"}
    with deployment.client(deployment.perijove("token", "ada")) as client:
        assert client.post("/hub/api/users/ada/server").status_code in (201, 202)
        wait_until(lambda: ready(client), seconds=150, what="the workspace")
        yield client


def ready(client: httpx.Client) -> bool:
    """Tell whether ada's workspace is ready; false while the Hub does not answer."""
    answer = client.get("/hub/api/users/ada")
    return answer.status_code == 200 and answer.json()["servers"].get("", {}).get("ready", False)


def whoami(client: httpx.Client) -> dict[str, Any]:
    """Ask the control plane who we are, from inside the workspace."""
    answer = client.get("/user/ada/perijove/api/whoami")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_workspace_reaches_the_control_plane(ada: httpx.Client) -> None:
    found = whoami(ada)
    assert (found["name"], found["groups"]) == ("ada", ["research"])


def test_plain_http_is_sent_to_tls_and_strangers_certificates_are_refused(
    deployment: Deployment,
) -> None:
    plain = httpx.get(f"http://localhost:{deployment.http_port}/hub/login", trust_env=False)
    assert plain.status_code == 301
    assert plain.headers["location"] == f"{deployment.url}/hub/login"
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(deployment.url, trust_env=False)


def test_nothing_secret_is_on_show(deployment: Deployment, ada: httpx.Client) -> None:
    shown = json.dumps([container.attrs for container in deployment.containers])
    shown += deployment.compose("config") + (deployment.root / "compose.env").read_text()
    secrets = {path.name: path.read_text() for path in (deployment.root / "data/secrets").iterdir()}
    assert {"proxy", "cookie-secret", "service-perijove"} <= set(secrets)
    assert not [name for name, secret in secrets.items() if secret in shown]
    logs = deployment.compose("logs", "--no-color")
    assert not [name for name, secret in secrets.items() if secret in logs]
    assert deployment.root.stat().st_mode & 0o777 == 0o700
    assert (deployment.root / "tls/key.pem").stat().st_mode & 0o777 == 0o600


def test_each_part_can_do_only_what_it_must(deployment: Deployment) -> None:
    powers, sockets = {}, set()
    for container in deployment.containers:
        host = container.attrs["HostConfig"]
        name = container.labels["com.docker.compose.service"]
        assert host["ReadonlyRootfs"]
        assert host["CapDrop"] == ["ALL"]
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        assert not host["Privileged"]
        powers[name] = set(host["CapAdd"] or ())
        if "/var/run/docker.sock" in [mount["Destination"] for mount in container.attrs["Mounts"]]:
            sockets.add(name)
    assert sockets == {"hub", "worker", "setup"}
    engine = {"CHOWN", "DAC_OVERRIDE", "FOWNER", "NET_ADMIN"}
    some = {"hub": engine, "worker": engine, "setup": engine, "proxy": {"NET_BIND_SERVICE"}}
    none: set[str] = set()
    assert powers == {**some, "api": none, "mlflow": none, "gateway": none, "postgres": none}


def test_everything_is_in_postgresql_and_the_firewall_in_force(deployment: Deployment) -> None:
    assert not list((deployment.root / "data").rglob("perijove.sqlite"))
    assert not list((deployment.root / "data").rglob("mlflow.sqlite"))
    assert firewall.in_force(Names.of(deployment.root / "data"))


def test_a_restart_of_the_hub_keeps_the_workspace(
    deployment: Deployment, ada: httpx.Client
) -> None:
    before = workspace(deployment)
    deployment.compose("restart", "-t", "10", "hub")
    # The proxy knows the way while the Hub is away.
    assert whoami(ada)["name"] == "ada"
    wait_until(lambda: ready(ada), seconds=150, what="the Hub")
    assert workspace(deployment) == before


def workspace(deployment: Deployment) -> str:
    """Return the id of ada's container."""
    label = [f"perijove={Names.of(deployment.root / 'data').key}", "perijove.kind=w"]
    with contextlib.closing(docker.from_env()) as engine:
        [found] = engine.containers.list(filters={"label": label})
        return str(found.id)


def test_a_part_that_is_killed_comes_back(deployment: Deployment, ada: httpx.Client) -> None:
    [api] = [
        one for one in deployment.containers if one.labels["com.docker.compose.service"] == "api"
    ]
    started = api.attrs["State"]["StartedAt"]
    # As the kernel would: `docker kill` counts as somebody's wish.
    os.kill(api.attrs["State"]["Pid"], 9)

    def again() -> bool:
        api.reload()
        return bool(api.attrs["State"]["Running"] and api.attrs["State"]["StartedAt"] != started)

    wait_until(again, seconds=60, what="the restart")
    wait_until(
        lambda: answers(ada, "/services/perijove/api/health"), seconds=150, what="the API's answer"
    )
    assert whoami(ada)["name"] == "ada"


def test_a_backup_is_made_from_inside(deployment: Deployment, ada: httpx.Client) -> None:
    archive = deployment.root / "data" / "backup.tar"
    assert "It holds keys" in deployment.perijove("backup", str(archive), "--homes")
    parts = subprocess.run(["tar", "tf", archive], capture_output=True, text=True).stdout.split()
    assert {"store.pgdump", "mlflow.pgdump", "hub.sqlite", "homes", "manifest.json"} <= set(parts)


def test_setting_up_again_moves_nothing(deployment: Deployment, ada: httpx.Client) -> None:
    topology = deployment.root / "data" / "run" / "topology.json"
    before = topology.read_text()
    deployment.compose("run", "--rm", "-T", "setup")
    assert topology.read_text() == before
    made = init(deployment.root, "--url", deployment.url, "--http-port", str(deployment.http_port))
    assert made.returncode == 0, made.stderr
    assert whoami(ada)["name"] == "ada"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--url", "http://hub.example.org"], "--url http://hub.example.org: write https://HOST"),
        (["--url", "https://h", "--key", "k.pem"], "--certificate and --key go together"),
    ],
)
def test_what_init_cannot_do_is_said_and_nothing_is_made(
    tmp_path: Path, arguments: list[str], words: str
) -> None:
    if os.geteuid() != 0:
        pytest.skip("init is for root")
    done = init(tmp_path / "srv", *arguments)
    assert done.returncode == 1
    assert words in done.stderr
    assert not (tmp_path / "srv").exists()

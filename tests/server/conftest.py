"""A user's Jupyter server, for real, in front of a small control plane that records."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fixtures.processes import ROOT, answers, free_port, process, wait_until

HUB_TOKEN = "the-users-own-hub-token"
BROWSER_TOKEN = "what-the-browser-shows-its-server"
BASE_URL = "/user/ada%40example.org/"

HUB_HEADERS = {"headers": {"Content-Security-Policy": "frame-ancestors 'none'"}}

NOTEBOOK_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'"


@dataclass
class Seen:
    """A request as it arrived at the control plane."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class ControlPlane:
    """What the server extension talks to here."""

    url: str
    seen: list[Seen] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)
    """Set to let ``/slow`` send its second half."""


class Handler(BaseHTTPRequestHandler):
    """Records a request and answers by its path."""

    protocol_version = "HTTP/1.1"
    plane: ControlPlane

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.plane.seen.append(Seen(self.command, self.path, headers, body))
        path = self.path.partition("?")[0].removeprefix("/services/perijove/api/v1/")
        if path == "slow":
            self._stream(broken=False)
        elif path == "broken":
            self._stream(broken=True)
        elif path == "elsewhere":
            self._send(307, b"", Location="http://127.0.0.1:1/stolen")
        elif path == "runs/r1/notebook.html":
            page = b"<h1>output</h1>"
            self._send(
                200,
                page,
                **{"Content-Type": "text/html", "Content-Security-Policy": NOTEBOOK_POLICY},
            )
        elif path == "careless.html":
            self._send(200, b"<script>1</script>", **{"Content-Type": "text/html"})
        elif path == "jobs/forbidden":
            problem = {"title": "Not found", "status": 404, "field": "name", "fix": "Look."}
            self._send(
                404,
                json.dumps(problem).encode(),
                **{"Content-Type": "application/problem+json", "WWW-Authenticate": "Bearer"},
            )
        elif self.command == "DELETE":
            self._send(204, b"")
        else:
            self._send(
                201 if self.command == "POST" else 200,
                b'{"items": []}',
                **{
                    "Content-Type": "application/json",
                    "Set-Cookie": "session=theirs",
                    "X-Internal": "secret",
                    "ETag": '"v1"',
                    "Perijove-Partial": "true",
                },
            )

    do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, *, broken: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", "10")
        self.end_headers()
        self.wfile.write(b"first")
        self.wfile.flush()
        if broken:
            self.close_connection = True
            return
        self.plane.release.wait(30)
        self.wfile.write(b"after")

    def log_message(self, *_: Any) -> None:
        """Say nothing: the requests are recorded."""


@pytest.fixture(scope="module")
def running_plane() -> Iterator[ControlPlane]:
    """A control plane that records what reaches it."""
    handler = type("RecordingHandler", (Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    handler.plane = plane = ControlPlane(  # type: ignore[attr-defined]
        f"http://127.0.0.1:{server.server_port}/services/perijove"
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield plane
    plane.release.set()
    server.shutdown()
    server.server_close()
    thread.join(10)


@dataclass
class Workspace:
    """A running Jupyter server of one user."""

    url: str
    log: Path
    child: subprocess.Popen[bytes]

    @contextlib.contextmanager
    def browser(self) -> Iterator[httpx.Client]:
        """Log a client in by cookie and let it send the XSRF token, as Lab does."""
        with self.stranger() as client:
            client.get("login")  # Sets the XSRF cookie; the next one sets the session's.
            client.get("login", params={"token": BROWSER_TOKEN}, follow_redirects=False)
            client.headers["X-XSRFToken"] = client.cookies["_xsrf"]
            client.headers["Referer"] = self.url
            yield client

    def stranger(self) -> httpx.Client:
        """Return a client without any credentials."""
        return httpx.Client(base_url=self.url, trust_env=False, timeout=30)


class Workspaces:
    """Starts Jupyter servers with an environment of the test's choice."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def running(self, environment: dict[str, str]) -> Iterator[Workspace]:
        """Run a server that finds the extension by the configuration we ship."""
        port = free_port()
        log = self.root / "server.log"
        home = self.root / "home"
        home.mkdir()
        unset = dict.fromkeys(("PERIJOVE_URL", "PERIJOVE_TOKEN", "JUPYTERHUB_API_TOKEN"), "")
        env = {
            **unset,
            "JUPYTER_CONFIG_PATH": str(ROOT / "server_ext" / "etc"),
            "JUPYTER_CONFIG_DIR": str(self.root / "config"),
            "JUPYTER_DATA_DIR": str(self.root / "data"),
            "JUPYTER_RUNTIME_DIR": str(self.root / "runtime"),
            "HOME": str(home),
            "PATH": os.environ["PATH"],
            **environment,
        }
        command = [
            sys.executable, "-m", "jupyter_server", "--allow-root", "--no-browser",
            f"--port={port}", "--ServerApp.port_retries=0", "--ip=127.0.0.1",
            f"--ServerApp.base_url={BASE_URL}", f"--ServerApp.root_dir={home}",
            f"--IdentityProvider.token={BROWSER_TOKEN}",
            # What JupyterHub sets in its users' servers: no page of theirs fits a frame.
            f"--ServerApp.tornado_settings={HUB_HEADERS!r}",
        ]  # fmt: skip
        url = f"http://127.0.0.1:{port}{BASE_URL}"
        with process(command, log=log, env=env) as child:
            wait_until(
                lambda: answers(url + "api") or child.poll() is not None,
                what=f"the Jupyter server ({log})",
                seconds=60,
            )
            assert child.poll() is None, log.read_text()
            yield Workspace(url, log, child)


@pytest.fixture
def plane(running_plane: ControlPlane) -> ControlPlane:
    """The control plane, with nothing recorded yet."""
    running_plane.seen.clear()
    running_plane.release.clear()
    return running_plane


@pytest.fixture(scope="module")
def workspace(
    running_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Workspace]:
    """A user's server that knows its control plane."""
    yield from Workspaces(tmp_path_factory.mktemp("workspace")).running(
        {"PERIJOVE_URL": running_plane.url, "JUPYTERHUB_API_TOKEN": HUB_TOKEN}
    )


@pytest.fixture
def lost_workspace(tmp_path: Path) -> Iterator[Workspace]:
    """A user's server whose control plane does not answer."""
    yield from Workspaces(tmp_path).running(
        {
            "PERIJOVE_URL": f"http://127.0.0.1:{free_port()}/services/perijove",
            "PERIJOVE_TOKEN": HUB_TOKEN,
        }
    )


@pytest.fixture
def unconnected_workspace(tmp_path: Path) -> Iterator[Workspace]:
    """A user's server that was never told of a control plane."""
    yield from Workspaces(tmp_path).running({})

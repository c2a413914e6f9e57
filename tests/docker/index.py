"""A Python package index on the host, behind a password, with packages that misbehave."""

from __future__ import annotations

import base64
import contextlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from textwrap import indent

#: Searched for where it must not be.
PASSWORD = "hunter2-is-in-no-layer"

#: What each source package does when it is built, before it turns out to be a fine one.
_MISBEHAVIOUR = {
    "endless": "while True: time.sleep(1)",
    "slow": "time.sleep(4)",
    "filler": """
with open(os.path.join(os.environ["TMPDIR"], "x"), "wb") as file:
    while file.tell() < 2**30:
        file.write(os.urandom(2**20))
        file.flush()
        time.sleep(0.01)
time.sleep(60)
""",
    "hog": """
kept = []
while True:
    kept.append(os.urandom(2**20) * 8)
""",
    "chatty": """
while True:
    print("x" * 1000, file=out, flush=True)
""",
}
_BACKEND = """
import os, shutil, sys, time
def get_requires_for_build_wheel(config_settings=None):
    # What pip hides of a build is told all the same: to the container's own output.
    out = open("/proc/1/fd/1", "w")
    print("pj-started", file=out, flush=True)
{code}
    return []
def build_wheel(directory, config_settings=None, metadata_directory=None):
    shutil.copy("{wheel}", directory)
    return "{wheel}"
"""
_PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""


@dataclass
class Index:
    """A running index and what was asked of it."""

    host: str
    port: int
    requests: int = 0
    authorized: int = 0

    @classmethod
    @contextlib.contextmanager
    def serving(cls, host: str) -> Iterator[Index]:
        """Serve on an address of this host."""
        files = _files()
        expected = "Basic " + base64.b64encode(f"builder:{PASSWORD}".encode()).decode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.requests += 1
                if self.headers.get("Authorization") != expected:
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", "Basic realm=index")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                index.authorized += 1
                content = _answer(self.path, files)
                self.send_response(404 if content is None else 200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                self.wfile.write(content or b"")

            def log_message(self, *_: object) -> None:
                return

        with ThreadingHTTPServer((host, 0), Handler) as server:
            index = cls(host, server.server_address[1])
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield index
            server.shutdown()

    @property
    def url(self) -> str:
        """Where pip finds it, with the password."""
        return f"http://builder:{PASSWORD}@{self.host}:{self.port}/simple"

    def pip_config(self, folder: Path) -> Path:
        """Write a pip.conf with the public index and this one, and a password for both."""
        path = folder / "pip.conf"
        path.write_text(
            f"[global]\nindex-url = https://builder:{PASSWORD}@pypi.org/simple\n"
            f"extra-index-url = http://builder:{PASSWORD}@{self.host}:{self.port}/simple\n"
            f"trusted-host = {self.host}\n"
        )
        path.chmod(0o600)
        return path


def _answer(path: str, files: dict[str, bytes]) -> bytes | None:
    if path.startswith("/files/"):
        return files.get(path.removeprefix("/files/"))
    project = path.removeprefix("/simple/").strip("/").replace("-", "_")
    found = [name for name in files if name.startswith(f"{project}-")]
    links = "".join(f'<a href="/files/{name}">{name}</a>' for name in found)
    return links.encode() if found else None


def _files() -> dict[str, bytes]:
    files = dict([_wheel("pj_fine"), _wheel("pj_extra")])
    for name, code in _MISBEHAVIOUR.items():
        wheel, content = _wheel(f"pj_{name}")
        source = io.BytesIO()
        with tarfile.open(fileobj=source, mode="w:gz") as archive:
            for inside, text in (
                ("pyproject.toml", _PYPROJECT.encode()),
                ("backend.py", _BACKEND.format(code=indent(code, "    "), wheel=wheel).encode()),
                ("PKG-INFO", f"Metadata-Version: 2.1\nName: pj_{name}\nVersion: 1\n".encode()),
                (wheel, content),
            ):
                info = tarfile.TarInfo(f"pj_{name}-1/{inside}")
                info.size = len(text)
                archive.addfile(info, io.BytesIO(text))
        files[f"pj_{name}-1.tar.gz"] = source.getvalue()
    return files


def _wheel(name: str) -> tuple[str, bytes]:
    content, info = io.BytesIO(), f"{name}-1.dist-info"
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(f"{name}.py", "")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return f"{name}-1-py3-none-any.whl", content.getvalue()

"""Find configurable-http-proxy and the Node that runs it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from perijove_hub.settings import Settings
from perijove_hub.up.exceptions import StartError

#: Older ones leak memory and sockets (jupyterhub/configurable-http-proxy issues 388, 434).
OLDEST = 5

INSTALL = "npm install -g configurable-http-proxy@5"


def find_node() -> str:
    """Return the path of ``node``; raise ``StartError`` when there is none."""
    node = shutil.which("node")
    if node is None:
        raise StartError(
            "Node.js is missing: no 'node' on PATH. Install Node.js 20 or later "
            "(https://nodejs.org), then try again."
        )
    return node


def find_proxy(settings: Settings) -> list[str]:
    """Return the command of configurable-http-proxy 5 or later.

    Looks at ``hub.proxy_command``, beside this Python, then on PATH. Raises ``StartError``.
    """
    if settings.hub.proxy_command:
        return settings.hub.proxy_command
    find_node()
    beside = [
        Path(sys.prefix) / "bin" / "configurable-http-proxy",
        Path(sys.prefix) / "share/perijove/proxy/node_modules/.bin/configurable-http-proxy",
    ]
    found = next((str(path) for path in beside if path.exists()), None)
    found = found or shutil.which("configurable-http-proxy")
    if found is None:
        raise StartError(
            "configurable-http-proxy is missing. Install it: "
            f"{INSTALL}, or name it as hub.proxy_command in perijove.toml."
        )
    return [found]


def check_version(command: list[str]) -> str:
    """Return the proxy's version; raise ``StartError`` when it is too old or does not run."""
    try:
        answer = subprocess.run(
            [*command, "--version"], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise StartError(f"{command[0]} does not run ({error}). Reinstall it: {INSTALL}.") from None
    version = answer.stdout.strip()
    major = re.match(r"\d+", version)
    if major is None or int(major[0]) < OLDEST:
        raise StartError(
            f"{command[0]} is version {version or 'unknown'}; {OLDEST} or later is needed. "
            f"Update it: {INSTALL}."
        )
    return version

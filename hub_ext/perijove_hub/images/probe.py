"""What is asked of an image that was built: which packages it holds, and whether it works.

Both run inside it with nothing allowed: no network, no root, nothing to write to but ``/tmp``.
The image can answer what it likes, so its answers are read as a stranger's.
"""

from __future__ import annotations

import json
import re

from perijove.types.images import Package

#: Most packages of one image that are listed.
MAX_PACKAGES = 20_000

LIST_PACKAGES = """
import importlib.metadata, json, shutil, subprocess
found = []
for one in importlib.metadata.distributions():
    if one.metadata and one.metadata["Name"]:
        found.append(["pip", one.metadata["Name"], one.version])
def lines(*command):
    if not shutil.which(command[0]):
        return []
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.stdout.splitlines() if done.returncode == 0 else []
for line in lines("dpkg-query", "-W", "-f", "${db:Status-Abbrev}\\t${Package}\\t${Version}\\n"):
    status, _, rest = line.partition("\\t")
    if status.startswith("ii"):
        found.append(["apt", *rest.split("\\t")])
for line in lines("conda", "list", "--export"):
    if not line.startswith("#") and line.count("=") >= 1:
        found.append(["conda", *line.split("=")[:2]])
print(json.dumps(found))
"""

SMOKE_TEST = """
import os, subprocess, sys
os.environ.update(HOME="/tmp", IPYTHONDIR="/tmp/ipython", JUPYTER_RUNTIME_DIR="/tmp/runtime")
def fail(why):
    print(f"it failed: {why}", flush=True)
    sys.exit(1)
try:
    from jupyter_client.kernelspec import NoSuchKernel
    from jupyter_client.manager import start_new_kernel
except ImportError as error:
    fail(f"image without a kernel: {error}")
try:
    manager, client = start_new_kernel(startup_timeout=90, kernel_name="python3")
except NoSuchKernel:
    fail("image without a kernel: no 'python3' is installed")
except Exception as error:
    fail(f"the kernel does not start: {error}")
for what, code in (
    ("compute", "assert sum(range(10)) == 45"),
    ("import perijove", "import perijove"),
    ("load the magics", "get_ipython().extension_manager.load_extension('perijove')"),
):
    def quiet(message):
        pass
    try:
        reply = client.execute_interactive(code, timeout=90, output_hook=quiet)["content"]
    except Exception as error:
        fail(f"a kernel cannot {what}: {error}")
    if reply["status"] != "ok":
        fail(f"a kernel cannot {what}: {reply.get('ename')}: {reply.get('evalue')}")
    print(f"a kernel can {what}", flush=True)
manager.shutdown_kernel(now=True)
try:
    done = subprocess.run(
        ["jupyterhub-singleuser", "--version"], capture_output=True, text=True, timeout=120
    )
except Exception as error:
    fail(f"jupyterhub-singleuser does not start: {error}")
if done.returncode != 0:
    last = (done.stderr.strip().splitlines() or ["no output"])[-1]
    fail(f"jupyterhub-singleuser does not start: {last}")
print(f"jupyterhub-singleuser {done.stdout.strip()}", flush=True)
"""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+:-]{0,200}")
_VERSION = re.compile(r"[A-Za-z0-9.+:~!_-]{1,200}")


def packages(output: bytes) -> list[Package]:
    """Read what ``LIST_PACKAGES`` printed; what is no package's name is left out."""
    try:
        listed = json.loads(output)
    except (ValueError, RecursionError):
        return []
    found: dict[tuple[str, str], Package] = {}
    for one in listed[:MAX_PACKAGES] if isinstance(listed, list) else ():
        match one:
            case [("pip" | "apt" | "conda") as manager, str(name), str(version)] if _NAME.fullmatch(
                name
            ) and _VERSION.fullmatch(version):
                shown = re.sub(r"[-_.]+", "-", name).lower() if manager == "pip" else name
                # The first one found is the one that Python imports.
                found.setdefault(
                    (manager, shown), Package(manager=manager, name=shown, version=version)
                )
    return list(found.values())

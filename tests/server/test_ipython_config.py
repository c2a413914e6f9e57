from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.fixtures.processes import ROOT, pythonpath

START = """
import sys
from IPython.core import application
application.ENV_CONFIG_DIRS[:] = [sys.argv[1]]
from ipykernel.kernelapp import IPKernelApp
app = IPKernelApp()
application.BaseIPythonApplication.initialize(app, [])
print(app.extensions)
"""


def extensions(tmp_path: Path, *, path: str) -> str:
    """Return what a kernel would load with our configuration and this import path."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", START, str(ROOT / "server_ext" / "etc" / "ipython")],
        env={"IPYTHONDIR": str(tmp_path), "PYTHONPATH": path, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()


def site_packages() -> str:
    """Where IPython is, without what an editable install adds to the path."""
    import IPython

    return str(Path(IPython.__file__).parents[1])


def test_a_kernel_loads_perijove_besides_what_its_user_asked_for(tmp_path: Path) -> None:
    profile = tmp_path / "profile_default"
    profile.mkdir()
    (profile / "ipython_config.py").write_text(
        "c = get_config(); c.InteractiveShellApp.extensions = ['autoreload']"
    )
    path = f"{pythonpath()}:{site_packages()}"
    assert extensions(tmp_path, path=path) == "['autoreload', 'perijove']"


def test_a_kernel_without_perijove_starts_as_ever(tmp_path: Path) -> None:
    assert extensions(tmp_path, path=site_packages()) == "[]"

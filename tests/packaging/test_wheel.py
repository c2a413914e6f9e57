"""The wheel, built from a clean export and installed where nothing else is."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: A whole build of the labextension is in here, on two busy cores.
pytestmark = pytest.mark.timeout(600)


def clean_environment(**extra: str) -> dict[str, str]:
    """Our environment without what points into this checkout's own Python."""
    ours = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "JUPYTER_", "PERIJOVE_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    return {**kept, **extra}


def run(*command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Run a command and return all it prints; fail with that if it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=env or clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=540,
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}"
    return re.sub(r"\x1b\[\d+m", "", done.stdout)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from what git knows and nothing that lies about."""
    export = tmp_path_factory.mktemp("export")
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in filter(None, listed.split("\0")):
        source = ROOT / name
        if source.is_file():
            target = export / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", cwd=export,
        env=clean_environment(PATH=path))  # fmt: skip
    [wheel] = (export / "dist").glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty virtual environment with nothing but the wheel and what it asks for."""
    venv = tmp_path_factory.mktemp("installed") / "venv"
    uv = Path(sys.executable).parent / "uv"
    lock = ROOT / "deploy" / "constraints.txt"
    run(uv, "venv", "--python", sys.executable, venv)
    run(uv, "pip", "install", "--python", venv / "bin" / "python", "--constraint", lock,
        f"perijove[hub,workspace,kernel] @ {wheel.as_uri()}")  # fmt: skip
    return venv


def test_the_wheel_holds_the_prebuilt_extension_and_every_data_file(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    shared = "perijove-0.1.0.data/data"
    package = json.loads(
        zipfile.ZipFile(wheel).read(f"{shared}/share/jupyter/labextensions/perijove/package.json")
    )
    remote_entry = package["jupyterlab"]["_build"]["load"]
    for wanted in (
        f"{shared}/share/jupyter/labextensions/perijove/{remote_entry}",
        f"{shared}/etc/jupyter/jupyter_server_config.d/perijove.json",
        f"{shared}/etc/jupyter/jupyter_lab_config.json",
        f"{shared}/etc/jupyter/jupyter_perijove_config.json",
        f"{shared}/etc/jupyter/labconfig/page_config.d/perijove.json",
        f"{shared}/etc/ipython/ipython_kernel_config.py",
        "perijove/py.typed",
        "perijove_hub/py.typed",
        "perijove_hub/demo/tutorial.ipynb",
        "perijove_hub/hub/embedded_config.py",
    ):
        assert wanted in names
    assert any(name.startswith("perijove_hub/store/migrations/versions/") for name in names)


def test_the_wheel_holds_no_tests_and_nothing_of_node(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert not [name for name in names if "node_modules" in name or name.startswith("tests")]


def test_the_command_line_runs_where_only_the_wheel_is(environment: Path) -> None:
    listed = run(environment / "bin" / "perijove", "--help")
    assert "doctor" in listed


def test_the_doctor_examines_a_machine_that_has_nothing_else(
    environment: Path, tmp_path: Path
) -> None:
    doctor = subprocess.run(
        [environment / "bin" / "perijove", "doctor", "--data-dir", tmp_path / "data"],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    # 1 says that something is missing, which depends on this machine; a crash would not.
    assert doctor.returncode in (0, 1)
    assert "Traceback" not in doctor.stderr
    assert "proxy" in doctor.stdout


def test_jupyterlab_finds_the_extension(environment: Path) -> None:
    listed = run(environment / "bin" / "jupyter", "labextension", "list")
    [line] = [line for line in listed.splitlines() if line.strip().startswith("perijove ")]
    assert "enabled" in line
    assert "OK" in line


def test_jupyter_server_loads_the_extension(environment: Path) -> None:
    listed = run(environment / "bin" / "jupyter", "server", "extension", "list")
    assert "perijove enabled" in listed
    assert re.search(r"^ +perijove \S* *OK$", listed, re.MULTILINE), listed


def test_a_kernel_has_the_magics_without_being_asked(environment: Path, tmp_path: Path) -> None:
    program = """
from jupyter_client.manager import start_new_kernel
manager, client = start_new_kernel(kernel_name="python3")
try:
    reply = client.execute_interactive(
        "print('loaded' if 'perijove' in get_ipython().extension_manager.loaded else 'missing')",
        timeout=60,
    )
finally:
    client.stop_channels()
    manager.shutdown_kernel(now=True)
"""
    printed = run(
        environment / "bin" / "python", "-c", program, env=clean_environment(HOME=str(tmp_path))
    )
    assert "loaded" in printed.split()


def test_importing_perijove_loads_nothing_heavy(environment: Path) -> None:
    program = (
        "import sys, perijove; print([name for name in "
        "('fastapi', 'sqlalchemy', 'mlflow', 'pandas', 'torch', 'numpy') if name in sys.modules])"
    )
    assert run(environment / "bin" / "python", "-c", program).strip() == "[]"


def test_the_kernel_extra_alone_can_run_a_notebook(
    wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    venv = tmp_path_factory.mktemp("kernel") / "venv"
    uv = Path(sys.executable).parent / "uv"
    lock = ROOT / "deploy" / "constraints.txt"
    run(uv, "venv", "--python", sys.executable, venv)
    run(uv, "pip", "install", "--python", venv / "bin" / "python", "--constraint", lock,
        f"perijove[kernel] @ {wheel.as_uri()}")  # fmt: skip
    run(venv / "bin" / "python", "-c", "import perijove.magics, perijove.runner, perijove.replica")

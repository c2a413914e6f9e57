"""Apache Airflow runs what `perijove jobs export --to airflow` writes, in a container."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from perijove.types.jobs import AfterRule, Schedule
from perijove.types.secrets import SecretCreate
from perijove_hub.context import Context
from perijove_hub.jobs.export.service import export
from perijove_hub.secrets.service import SecretService
from tests.jobs.conftest import ADA, Platform, a_topology
from tests.jobs.notebooks import code, notebook

pytestmark = pytest.mark.docker

WANTED = ("apache-airflow==3.3.2", "docker>=7")
CELLS = notebook(
    code("from perijove import Secret\nC: float = 0.5\nkey: Secret = 'KEY'", tags=["parameters"]),
    code(
        "from pathlib import Path\n"
        "print('C', C, Path('data/x.csv').read_text(), len(key))\n"
        "Path('outputs').mkdir(exist_ok=True)\n"
        "Path('outputs/c.txt').write_text(str(C))\n"
        "assert C > 0"
    ),
)


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Airflow in an environment of its own: it pins what Perijove has newer."""
    folder = tmp_path_factory.mktemp("airflow")
    uv = str(Path(sys.executable).with_name("uv"))
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, folder], check=True)
    python = folder / "bin" / "python"
    made = subprocess.run(
        [uv, "pip", "install", "-q", "--python", python, *WANTED],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        pytest.skip(f"Airflow does not install here: {made.stderr[-300:]}")
    return folder / "bin" / "airflow"


def run(command: list[str | Path], environment: Mapping[str, str], *, status: int = 0) -> str:
    """Run a command of Airflow to its end; return what it said."""
    done = subprocess.run(
        command,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == status, done.stdout[-4000:]
    return done.stdout


def test_airflow_runs_the_same_version_in_its_image(
    airflow: Path, image: str, context: Context, tmp_path: Path
) -> None:
    a_topology().save(context.data.run / "topology.json")
    SecretService(context).put(ADA, "KEY", SecretCreate(value="hunter2-hunter2"))
    inputs = [{"path": "data/x.csv", "content": base64.b64encode(b"1,2").decode()}]
    job = Platform(context).promote(CELLS, inputs=inputs)
    name, text = export(context, ADA, job.id, version=None, image=image)
    home = tmp_path / "airflow"
    (home / "dags").mkdir(parents=True)
    (home / "dags" / f"{name}.py").write_text(text, encoding="utf-8")
    environment = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW_VAR_PERIJOVE_SECRET_KEY": "hunter2-hunter2",
    }
    run([airflow, "db", "migrate"], environment)
    said = run([airflow, "dags", "test", name, "--conf", '{"C": 2.0}'], environment)
    assert "state=success" in said
    (output,) = (home / "perijove" / name).glob("*/output.ipynb")
    content = output.read_text(encoding="utf-8")
    printed = json.loads(content)["cells"][-1]["outputs"][0]["text"]
    assert "".join(printed).strip() == "C 2.0 1,2 15"
    assert "hunter2" not in content
    assert "hunter2" not in said
    assert (output.parent / "outputs/c.txt").read_text() == "2.0"
    # One that fails is a failed run, and begins what waits for a failure.
    said = run([airflow, "dags", "test", name, "--conf", '{"C": -1.0}'], environment, status=1)
    assert "Cell 3: AssertionError" in said
    assert "end task task_id=failed" in said
    assert "state=failed" in said


def test_airflow_reads_what_waits_for_failures(
    airflow: Path, context: Context, tmp_path: Path
) -> None:
    a_topology().save(context.data.run / "topology.json")
    platform = Platform(context)
    first, second = (platform.promote(name=name) for name in ("first", "second"))
    for rule in AfterRule:
        schedule = Schedule(after=[first.id, second.id], rule=rule)
        job = platform.promote(name=rule.value.replace("_", "-"), schedule=schedule)
        _, text = export(context, ADA, job.id, version=None, image="perijove/cpu:latest")
        (tmp_path / f"{rule.value}.py").write_text(text, encoding="utf-8")
    read = "; ".join(
        f"from {rule.value} import ran; print(ran.operator.dag.timetable.asset_condition)"
        for rule in AfterRule
    )
    environment = {"AIRFLOW_HOME": str(tmp_path / "airflow"), "PYTHONPATH": str(tmp_path)}
    said = run([airflow.with_name("python"), "-c", read], environment).splitlines()[-3:]
    assert [line.partition("name=")[0] for line in said] == [
        "AssetAll(Asset(", "AssetAny(Asset(", "AssetAll(AssetAny(Asset(",
    ]  # fmt: skip
    assert [line.count("/failed', uri") for line in said] == [0, 2, 2]

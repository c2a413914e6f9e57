"""``%%experiment`` and its helpers against the real MLflow, and against none."""

from __future__ import annotations

import atexit
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from IPython.core.interactiveshell import InteractiveShell

from perijove.experiments import active
from tests.experiments.wire import Wire, wire_to
from tests.fixtures.hub import Hub
from tests.fixtures.mlflow import Mlflow
from tests.fixtures.processes import pythonpath, wait_until


class Notebook:
    """A shell with our magics, and MLflow's answer about what they tracked."""

    def __init__(self, mlflow: Mlflow, wire: Wire, spool: Path) -> None:
        self.shell = InteractiveShell()
        self.shell.run_line_magic("load_ext", "perijove")
        self.mlflow = mlflow
        self.wire = wire
        self.spool = spool

    def run(self, cell: str) -> Any:
        return self.shell.run_cell(cell)

    def tracked(self, experiment: str) -> list[dict[str, Any]]:
        return runs_of(self.mlflow, experiment)


def runs_of(mlflow: Mlflow, experiment: str) -> list[dict[str, Any]]:
    """Runs of an experiment, newest first, with params and metrics as dicts."""
    with mlflow.client("ada") as ada:
        query = {"experiment_name": experiment}
        found = ada.get("/api/2.0/mlflow/experiments/get-by-name", params=query)
        if found.status_code == 404:
            return []
        ids = [found.json()["experiment"]["experiment_id"]]
        body = {"experiment_ids": ids, "max_results": 100}
        runs = ada.post("/api/2.0/mlflow/runs/search", json=body).json().get("runs", [])
    for run in runs:
        for part in ("params", "metrics", "tags"):
            pairs = run["data"].get(part, [])
            run[part] = {pair["key"]: pair.get("value", "") for pair in pairs}
    return list(runs)


@pytest.fixture
def tracking(
    mlflow: Mlflow, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Wire]:
    topology = mlflow.context.topology
    public = int(topology.public_url.rpartition(":")[2])
    with wire_to((topology.host, topology.mlflow_port), port=public) as wire:
        # In the proxy's place, whose name the front knows.
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{topology.public_url}/services/mlflow")
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", hub.token("ada"))
        monkeypatch.setenv("PERIJOVE_SPOOL", str(tmp_path / "spool"))
        monkeypatch.setattr(active, "_sender", None)
        yield wire
        if active._sender is not None:
            # pytest's own end does not wait for what these tests leave unsent.
            atexit.unregister(active._sender.drain)


@pytest.fixture
def notebook(mlflow: Mlflow, tracking: Wire, tmp_path: Path) -> Notebook:
    return Notebook(mlflow, tracking, tmp_path / "spool")


def test_a_cell_becomes_a_run_with_its_parameters_and_metrics(
    notebook: Notebook, capsys: pytest.CaptureFixture[str]
) -> None:
    done = notebook.run(
        "%%experiment whole --param C=0.5 --param kind=linear --run-name first\n"
        "assert type(C) is float and kind == 'linear'\n"
        "auc = 0.9876\n"
        "%param extra=[1, 2]\n"
        "%metric auc={auc} f1={auc / 2}\n"
    )
    assert done.success
    (run,) = notebook.tracked("whole")
    assert run["info"]["run_name"] == "first"
    assert run["info"]["status"] == "FINISHED"
    assert run["info"]["user_id"] == "ada"
    assert run["params"] == {"C": "0.5", "kind": "linear", "extra": "[1, 2]"}
    assert run["metrics"] == {"auc": 0.9876, "f1": 0.4938}
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("run first · auc=0.9876 · f1=0.4938 · http://")
    assert list(notebook.spool.iterdir()) == []


def test_the_cells_own_variables_and_result_are_as_without_the_magic(notebook: Notebook) -> None:
    notebook.run("%%experiment same\nanswer = 42\nanswer")
    assert notebook.shell.user_ns["answer"] == 42
    assert notebook.shell.user_ns["_"] == 42


def test_a_failing_cell_fails_the_run_and_shows_its_own_error(
    notebook: Notebook, capsys: pytest.CaptureFixture[str]
) -> None:
    done = notebook.run("%%experiment failing\n%metric a=1\n1 / 0")
    assert isinstance(done.error_in_exec, ZeroDivisionError)
    (run,) = notebook.tracked("failing")
    assert run["info"]["status"] == "FAILED"
    assert run["metrics"] == {"a": 1.0}
    shown = re.sub("\x1b\\[[0-9;]*m", "", capsys.readouterr().out)
    assert shown.count("ZeroDivisionError: division by zero") == 1
    assert "----> 3 1 / 0" in shown
    assert "perijove" not in shown.replace("services", "").split("Traceback")[-1]


def test_an_interrupted_cell_is_a_killed_run(notebook: Notebook) -> None:
    done = notebook.run("%%experiment stopped\nraise KeyboardInterrupt")
    assert isinstance(done.error_in_exec, KeyboardInterrupt)
    assert notebook.tracked("stopped")[0]["info"]["status"] == "KILLED"


def test_a_cell_that_does_not_parse_is_no_run(notebook: Notebook) -> None:
    assert not notebook.run("%%experiment typo\nx = = 1").success
    assert notebook.tracked("typo") == []


def test_mlflow_called_directly_lands_in_the_same_run(notebook: Notebook) -> None:
    done = notebook.run(
        "%%experiment direct\n"
        "import mlflow\n"
        "mlflow.log_metric('by_hand', 2.0)\n"
        "%metric by_magic=1\n"
        "first = mlflow.active_run().info.run_id\n"
    )
    assert done.success, done.error_in_exec
    (run,) = notebook.tracked("direct")
    assert run["metrics"] == {"by_hand": 2.0, "by_magic": 1.0}
    assert notebook.shell.user_ns["first"] == run["info"]["run_id"]
    assert notebook.run("assert mlflow.active_run() is None").success


def test_mlflow_imported_for_the_first_time_inside_lands_there_too(
    mlflow: Mlflow, tracking: Wire
) -> None:
    script = (
        "import sys, perijove\n"
        "with perijove.experiment('late') as run:\n"
        "    assert 'mlflow' not in sys.modules\n"
        "    import mlflow\n"
        "    mlflow.log_param('a', 1)\n"
        "    assert mlflow.active_run().info.run_id == run.run_id\n"
        "assert mlflow.active_run() is None\n"
    )
    done = python(script)
    assert done.returncode == 0, done.stderr
    (run,) = runs_of(mlflow, "late")
    assert run["params"] == {"a": "1"}


def test_autolog_is_on_for_the_cell_that_asks_and_off_again(notebook: Notebook) -> None:
    fit = (
        "import warnings\nwarnings.simplefilter('ignore')\n"
        "from sklearn.linear_model import LogisticRegression\n"
        "LogisticRegression(C=0.25).fit([[0.0], [1.0]], [0, 1])\n"
    )
    assert notebook.run(f"%%experiment auto --autolog\n{fit}").success
    assert notebook.run(f"%%experiment auto-off\n{fit}").success
    (run,) = notebook.tracked("auto")
    assert run["params"]["C"] == "0.25"
    assert run["info"]["status"] == "FINISHED"
    (other,) = notebook.tracked("auto-off")
    assert other["params"] == {}


def test_steps_count_up_unless_given(notebook: Notebook, mlflow: Mlflow) -> None:
    notebook.run(
        "%%experiment steps\nfor i in range(3):\n    %metric loss={1 / (i + 1)}\n"
        "%metric x=1 --step 7"
    )
    (run,) = notebook.tracked("steps")
    with mlflow.client("ada") as ada:
        query = {"run_id": run["info"]["run_id"], "metric_key": "loss"}
        history = ada.get("/api/2.0/mlflow/metrics/get-history", params=query).json()["metrics"]
    assert [(item["step"], item["value"]) for item in history] == [(0, 1.0), (1, 0.5), (2, 1 / 3)]
    assert [m["step"] for m in run["data"]["metrics"] if m["key"] == "x"] == [7]


def test_what_is_not_finite_is_still_logged(notebook: Notebook) -> None:
    done = notebook.run(
        "%%experiment odd\nloss = float('nan')\n%metric loss={loss} best={float('inf')}"
    )
    assert done.success
    assert set(notebook.tracked("odd")[0]["metrics"]) == {"loss", "best"}


def test_artifacts_are_kept_as_they_were(notebook: Notebook, tmp_path: Path) -> None:
    plot = tmp_path / "plot.txt"
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "deep.txt").write_text("deep")
    plot.write_text("as it was")
    done = notebook.run(
        f"%%experiment files\n%artifact {plot} {tmp_path / 'more'}\n"
        f"import pathlib\npathlib.Path({str(plot)!r}).write_text('changed')"
    )
    assert done.success
    (run,) = notebook.tracked("files")
    with notebook.mlflow.client("ada") as ada:
        for path, content in (("plot.txt", "as it was"), ("more/deep.txt", "deep")):
            query = {"run_uuid": run["info"]["run_id"], "path": path}
            assert ada.get("/get-artifact", params=query).text == content


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("%metric a=1", "Put %%experiment NAME"),
        ("%param a=1", "Put %%experiment NAME"),
        ("%%experiment\n1", "Something is missing"),
        ("%%experiment a --parm C=1\n1", "Did you mean --param?"),
        ("%%experiment a --param 9=1\n1", "NAME=VALUE"),
        ("%%experiment a --param for=1\n1", "word of Python"),
        ("%%experiment wrong\n%metric a={nothing_of_that_name}", "could not be evaluated"),
        ("%%experiment wrong\n%metric a=high", "not a number"),
        ("%%experiment wrong\n%artifact /no/such/file", "/no/such/file cannot be kept"),
    ],
)
def test_a_mistake_is_named_in_one_line(
    notebook: Notebook, capsys: pytest.CaptureFixture[str], cell: str, words: str
) -> None:
    assert not notebook.run(cell).success
    shown = capsys.readouterr().out
    assert words in shown
    assert "Traceback" not in shown


def test_without_a_server_in_the_environment_the_fix_is_named(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    notebook.run("%%experiment none\n1")
    assert "MLFLOW_TRACKING_URI" in capsys.readouterr().out


def test_with_mlflow_down_the_cell_runs_at_once_and_everything_arrives_later(
    notebook: Notebook, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook.run("%%experiment before\n1")
    notebook.wire.cut()
    capsys.readouterr()
    started = time.monotonic()
    done = notebook.run(
        "%%experiment outage --param C=1\nfor i in range(2500):\n    %metric loss={i}\n"
        "%metric auc=0.5"
    )
    took = time.monotonic() - started
    assert done.success
    assert took < 10
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("Perijove: MLflow does not answer")] == [
        lines[0]
    ]
    assert len(lines) == 2
    notebook.wire.mend()
    wait_until(
        lambda: any(r["info"]["status"] == "FINISHED" for r in notebook.tracked("outage")),
        seconds=60,
        what="the replay",
    )
    (run,) = notebook.tracked("outage")
    assert run["params"] == {"C": "1"}
    assert run["metrics"] == {"loss": 2499.0, "auc": 0.5}
    wait_until(lambda: not list(notebook.spool.iterdir()), what="an empty spool")


def test_a_server_that_never_answers_costs_seconds_and_nothing_else(notebook: Notebook) -> None:
    notebook.wire.stall()
    started = time.monotonic()
    assert notebook.run("%%experiment stalled\n%metric a=1").success
    assert time.monotonic() - started < 9
    notebook.wire.cut()
    notebook.wire.mend()
    wait_until(
        lambda: any(r["info"]["status"] == "FINISHED" for r in notebook.tracked("stalled")),
        seconds=60,
        what="the replay",
    )


def test_a_server_that_dies_in_the_middle_neither_blocks_nor_doubles(notebook: Notebook) -> None:
    notebook.shell.user_ns["wire"] = notebook.wire
    done = notebook.run(
        "%%experiment middle\nimport time\n"
        "for i in range(50):\n    %metric loss={i}\n    if i == 25: wire.cut()\n"
    )
    assert done.success
    notebook.wire.mend()
    wait_until(
        lambda: notebook.tracked("middle")[0]["info"]["status"] == "FINISHED",
        seconds=60,
        what="the replay",
    )
    (run,) = notebook.tracked("middle")
    with notebook.mlflow.client("ada") as ada:
        query = {"run_id": run["info"]["run_id"], "metric_key": "loss"}
        history = ada.get("/api/2.0/mlflow/metrics/get-history", params=query).json()["metrics"]
    assert [item["value"] for item in history] == [float(i) for i in range(50)]


def test_what_a_killed_kernel_left_is_sent_by_the_next(
    mlflow: Mlflow, tracking: Wire, tmp_path: Path
) -> None:
    tracking.cut()
    script = (
        "import os, perijove\n"
        "with perijove.experiment('killed', params={'a': 1}) as run:\n"
        "    run.metric('loss', 0.25)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    assert python(script).returncode == -signal.SIGKILL
    (left,) = (tmp_path / "spool").iterdir()
    with (left / "log.jsonl").open("ab") as log:
        log.write(b'{"op": "metric", "item": {"key": "ha')
    assert runs_of(mlflow, "killed") == []
    tracking.mend()
    active.sender()
    wait_until(lambda: not left.exists(), seconds=30, what="the replay")
    (run,) = runs_of(mlflow, "killed")
    assert run["info"]["status"] == "KILLED"
    assert run["metrics"] == {"loss": 0.25}
    assert run["params"] == {"a": "1"}


def test_loading_the_extension_is_enough_to_send_what_was_left(
    mlflow: Mlflow, tracking: Wire, tmp_path: Path
) -> None:
    tracking.cut()
    script = "import perijove\nwith perijove.experiment('left') as run: run.metric('a', 1)\n"
    assert python(script).returncode == 0
    assert len(list((tmp_path / "spool").iterdir())) == 1
    tracking.mend()
    InteractiveShell().run_line_magic("load_ext", "perijove")
    wait_until(lambda: not list((tmp_path / "spool").iterdir()), what="the replay")
    assert runs_of(mlflow, "left")[0]["info"]["status"] == "FINISHED"


def test_a_living_kernels_log_is_left_alone(notebook: Notebook) -> None:
    from perijove.experiments.spool import Spool

    with active.track("alive"):
        assert Spool.left_behind() == []


def test_a_create_whose_answer_was_lost_makes_no_second_run(mlflow: Mlflow, tracking: Wire) -> None:
    from perijove.experiments.spool import Spool

    begin = {
        "op": "begin",
        "experiment": "once",
        "name": None,
        "key": "a" * 32,
        "time": 1,
        "tags": {},
    }
    sender = active.sender()
    for _ in range(2):
        spool = Spool.create(begin)
        spool.state.tried = True
        sender.begin(spool)
        spool.remove()
    assert len(runs_of(mlflow, "once")) == 1


def test_one_bad_value_does_not_take_the_others_with_it(
    notebook: Notebook, capsys: pytest.CaptureFixture[str]
) -> None:
    done = notebook.run("%%experiment refused --param C=1\n%param C=2\n%metric a=1\n%param D=3")
    assert done.success
    (run,) = notebook.tracked("refused")
    assert run["params"] == {"C": "1", "D": "3"}
    assert run["metrics"] == {"a": 1.0}
    assert "Perijove: MLflow refused C:" in capsys.readouterr().out


def test_a_metric_costs_microseconds(tracking: Wire) -> None:
    with active.track("cheap") as run:
        started = time.perf_counter()
        for number in range(2000):
            run.metric("loss", number)
        each = (time.perf_counter() - started) / 2000
    # About 10 µs; a synchronous log_metric costs 35 to 92 ms.
    assert each < 0.001


def test_nested_runs_know_their_parent(mlflow: Mlflow, tracking: Wire) -> None:
    with active.track("nested", run_name="outer") as outer:
        with active.track("nested", run_name="inner"):
            pass
        outer.metric("after", 1)
    inner = next(r for r in runs_of(mlflow, "nested") if r["info"]["run_name"] == "inner")
    assert inner["tags"]["mlflow.parentRunId"] == outer.run_id


def test_importing_the_magics_loads_neither_mlflow_nor_pandas() -> None:
    script = (
        "import sys, perijove.magics.experiments, perijove.experiments\n"
        "print([m for m in ('mlflow', 'pandas', 'sqlalchemy', 'fastapi') if m in sys.modules])"
    )
    assert python(script).stdout.strip() == "[]"


def python(script: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": pythonpath()}
    return subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=60
    )


def test_the_summary_links_to_the_run_and_escapes_its_name(notebook: Notebook) -> None:
    from perijove.magics.experiments import Summary

    html = Summary("<b>", "finished", "http://x/#/r", {"auc": 0.5})._repr_html_()
    assert html.startswith('<div><a href="http://x/#/r"')
    assert "&lt;b&gt;" in html


def test_the_wire_is_not_what_makes_these_tests_pass(tracking: Wire) -> None:
    tracking.cut()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{tracking.port}/", trust_env=False)

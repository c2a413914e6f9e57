"""The runner tells the truth about how a notebook ended, and keeps what it had."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.jobs.notebooks import code, markdown, notebook
from tests.jobs.scratch import TOKEN, Folder, printed


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_every_cell_that_should_run_runs_with_its_parameters(folder: Folder) -> None:
    content = notebook(
        markdown("# Title"),
        code("C: float = 1.0\nday: 'date' = None\nrows: int", tags=["parameters"]),
        code("print(C, type(day).__name__, day)"),
        code("raise SystemError", tags=["skip-execution"]),
        code("1 / 0", tags=["raises-exception"]),
        code("  "),
        code("6 * 7"),
    )
    assert folder.run(content, {"C": 2, "day": "2026-01-02", "rows": 3}) == 0
    assert folder.ending["ending"] == "succeeded"
    output = folder.output
    nbformat.validate(output)
    assert printed(output.cells[3]) == "2.0 date 2026-01-02\n"
    assert output.cells[-1].outputs[0].data["text/plain"] == "42"
    # Of seven cells five are code with something to run, one of them injected.
    assert folder.events[0]["cells_total"] == 5
    assert [event["number"] for event in folder.events if event["event"] == "done"] == [
        1,
        2,
        3,
        4,
        5,
    ]
    assert output.metadata.papermill.parameters == {
        "C": 2.0,
        "day": "2026-01-02",
        "rows": 3,
    }
    assert str(folder.path) not in json.dumps(output.metadata)
    assert "42" in folder.log
    # Papermill takes a name without a default for no parameter.
    assert "unknown parameter" not in folder.log


def test_a_cell_that_raises_fails_the_run_with_cell_and_line(folder: Folder) -> None:
    content = notebook(code("print('before')"), code("x = 1\nint('seven')"), code("print('after')"))
    assert folder.run(content) == 3
    ending = folder.ending
    assert (ending["ending"], ending["cell"], ending["line"]) == ("cell_error", 1, 2)
    assert ending["error"].startswith("ValueError: invalid literal")
    assert printed(folder.output.cells[0]) == "before\n"
    assert folder.output.cells[2].metadata.papermill.status == "pending"
    assert "after" not in folder.log


def test_a_dead_kernel_is_no_success(folder: Folder) -> None:
    content = notebook(
        code("print('before', flush=True)"), code("import os; os.kill(os.getpid(), 9)"), code("1")
    )
    assert folder.run(content) == 4
    assert (folder.ending["ending"], folder.ending["cell"]) == ("kernel_died", 1)
    assert printed(folder.output.cells[0]) == "before\n"


def test_sys_exit_before_the_last_cell_is_no_success(folder: Folder) -> None:
    assert folder.run(notebook(code("import sys; sys.exit(0)"), code("1"))) == 3
    assert folder.ending["error"] == "SystemExit: 0"


def test_sigterm_interrupts_the_cell_and_keeps_its_output(folder: Folder) -> None:
    content = notebook(
        code("import time\nprint('sleeping', flush=True)\ntime.sleep(600)"), code("1")
    )
    process = folder.start(content)
    folder.wait_for("\nsleeping")
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 143
    assert folder.ending["ending"] == "terminated"
    outputs = folder.output.cells[0].outputs
    assert outputs[0].text == "sleeping\n"
    assert outputs[-1].ename == "KeyboardInterrupt"


def test_sigterm_ends_a_cell_that_ignores_the_interrupt(folder: Folder) -> None:
    content = notebook(
        code(
            "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
            "print('deaf', flush=True)\ntime.sleep(600)"
        )
    )
    process = folder.start(content)
    folder.wait_for("\ndeaf")
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 143
    assert printed(folder.output.cells[0]) == "deaf\n"


def test_twenty_thousand_flushed_prints_are_all_kept(folder: Folder) -> None:
    content = notebook(
        code("for i in range(20_000):\n    print(i, flush=True)"), code("print('end')")
    )
    assert folder.run(content) == 0
    assert printed(folder.output.cells[0]) == "".join(f"{i}\n" for i in range(20_000))
    assert "19999\n" in folder.log


def test_the_runs_token_is_in_no_output(folder: Folder) -> None:
    content = notebook(
        code("import os; token = os.environ['PERIJOVE_TOKEN']; print(token)"),
        code("{'t': token}"),
        code("raise ValueError(token)"),
    )
    assert folder.run(content) == 3
    left = b"".join(path.read_bytes() for path in folder.path.iterdir() if path.is_file())
    assert TOKEN.encode() not in left
    assert "[secret removed]" in printed(folder.output.cells[0])
    assert "[secret removed]" in folder.ending["error"]


def test_a_kernel_that_is_not_installed_says_which_are(folder: Folder) -> None:
    content = notebook(code("1"))
    content["metadata"]["kernelspec"]["name"] = "my-env"
    assert folder.run(content) == 6
    assert "'my-env' is not installed" in folder.ending["error"]
    assert "python3" in folder.ending["error"]


@pytest.mark.parametrize(
    ("content", "parameters", "message"),
    [
        ({"a": 1}, {}, "not a notebook"),
        (notebook(code("C = 1", tags=["parameters"])), {"D": 1}, "no parameter 'D'"),
    ],
)
def test_bad_input_is_refused_before_a_kernel_starts(
    folder: Folder, content: Any, parameters: Any, message: str
) -> None:
    assert folder.run(content, parameters) == 2
    assert folder.ending["ending"] == "bad_input"
    assert message in folder.log


def test_a_notebook_that_names_no_kernel_or_language_runs_as_python(folder: Folder) -> None:
    content = notebook(code("C = 1", tags=["parameters"]), code("print(C)"))
    content["metadata"] = {}
    assert folder.run(content, {"C": 5}) == 0
    assert printed(folder.output.cells[2]) == "5\n"


def test_papermills_command_line_takes_what_a_run_left_and_uses_the_engine(folder: Folder) -> None:
    content = notebook(code("C = 1", tags=["parameters"]), code("print(C)"))
    assert folder.run(content, {"C": 2}) == 0
    before = folder.output
    temporary = folder.path / "tmp"
    temporary.mkdir()
    command = [sys.executable, "-m", "papermill", "--engine", "perijove", "--no-progress-bar"]
    # To standard output: nothing else may come that way.
    said = subprocess.run(
        [*command, "-p", "C", "3", "output.ipynb", "-"],
        cwd=folder.path,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    for output, given in ((before, 2), (nbformat.reads(said.decode(), as_version=4), 3)):
        nbformat.validate(output)
        # Papermill finds its own cell in what a run left, and writes it anew.
        tags = [cell.metadata.tags for cell in output.cells]
        assert tags == [["parameters"], ["injected-parameters"], []]
        assert output.cells[1].source.splitlines() == ["# Parameters", f"C = {given}"]
        assert printed(output.cells[2]) == f"{given}\n"
        assert output.metadata.papermill.parameters == {"C": given}
        assert output.metadata.papermill.exception is None
        assert {cell.metadata.papermill.status for cell in output.cells} == {"completed"}
    assert list(temporary.iterdir()) == []


def test_papermill_hears_of_every_failure_and_keeps_the_output(folder: Folder) -> None:
    cells = {
        "raises": "print('before')\n1 / 0",
        "dies": "print('before', flush=True)\nimport os, time; time.sleep(0.2); os._exit(1)",
        # Papermill's own engine takes this for success.
        "leaves": "print('before')\nraise SystemExit",
    }
    for name, source in cells.items():
        content = notebook(code(source), code("print('after')"))
        (folder.path / f"{name}.ipynb").write_text(json.dumps(content))
    script = f"""
import papermill
from papermill.exceptions import PapermillExecutionError
for name in {list(cells)}:
    try:
        # The second folder is not the one that the path of the output is relative to.
        papermill.execute_notebook(name + ".ipynb", name + ".out.ipynb", engine_name="perijove",
                                   cwd="elsewhere", progress_bar=False)
    except PapermillExecutionError as error:
        print(name, error.ename)
import signal
print(signal.getsignal(signal.SIGTERM).name)
"""
    (folder.path / "elsewhere").mkdir()
    said = subprocess.run(
        [sys.executable, "-c", script], cwd=folder.path, check=True, stdout=subprocess.PIPE
    ).stdout.decode()
    assert said == "raises ZeroDivisionError\ndies kernel_died\nleaves cell_error\nSIG_DFL\n"
    for name in cells:
        output = nbformat.read(folder.path / f"{name}.out.ipynb", as_version=4)
        # Papermill's two texts stand before the failed cell.
        assert printed(output.cells[2]).startswith("before\n")
        assert output.cells[2].metadata.papermill.status == "failed"
        assert output.cells[3].metadata.papermill.status == "pending"


def test_what_a_widget_shows_is_kept_with_its_state(folder: Folder) -> None:
    source = "import ipywidgets\nout = ipywidgets.Output()\nwith out:\n    print('inside')\nout"
    assert folder.run(notebook(code(source), code("print('outside')"))) == 0
    output = folder.output
    nbformat.validate(output)
    shown = output.cells[0].outputs[0].data["application/vnd.jupyter.widget-view+json"]
    state = output.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]
    assert state[shown["model_id"]]["state"]["outputs"][0]["text"] == "inside\n"
    assert printed(output.cells[0]) == ""
    assert printed(output.cells[1]) == "outside\n"

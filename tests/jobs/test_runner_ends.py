"""What a run leaves however it ends: killed, asked to end, without a kernel."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from perijove.runner.journal import NAME, rebuild
from tests.jobs.notebooks import code, notebook
from tests.jobs.scratch import TOKEN, Folder, printed

SECRET = "Grüße\"'\n-🗝"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def rebuilt(folder: Folder) -> Any:
    journal = folder.path / NAME

    def read(offset: int, limit: int) -> bytes:
        with journal.open("rb") as file:
            file.seek(offset)
            return file.read(limit)

    made = rebuild(read)
    assert made is not None
    return json.loads(made)


def test_kill_9_loses_at_most_the_last_second(folder: Folder) -> None:
    content = notebook(
        code("display({'image/png': 'A' * 500_000}, raw=True)"),
        code(
            "import time\nfor i in range(10_000):\n"
            "    print(i, time.time(), flush=True); time.sleep(0.01)"
        ),
    )
    process = folder.start(content)
    folder.wait_for("\n50 ")
    # The log is written with the journal: at this moment nothing waits.
    time.sleep(1.3)
    killed_at = time.time()
    process.kill()
    process.wait()
    assert not (folder.path / "output.ipynb").exists()
    first, second = rebuilt(folder)["cells"]
    assert len(first["outputs"][0]["data"]["image/png"]) == 500_000
    assert first["metadata"]["papermill"]["status"] == "completed"
    assert second["metadata"]["papermill"]["status"] == "running"
    lines = second["outputs"][0]["text"].splitlines()
    assert [int(line.split()[0]) for line in lines] == list(range(len(lines)))
    assert float(lines[-1].split()[1]) > killed_at - 1
    assert "was killed here" in second["outputs"][1]["text"]


def test_a_run_that_ends_leaves_no_journal(folder: Folder) -> None:
    assert folder.run(notebook(code("1"))) == 0
    assert not (folder.path / NAME).exists()


def test_the_kernel_works_in_its_folder_and_tells_metrics(folder: Folder) -> None:
    work = folder.path / "work"
    work.mkdir()
    (work / "helper.py").write_text("x = 7")
    content = notebook(
        code("import helper, os\nprint(os.getcwd(), helper.x)"),
        code("for i in range(3):\n    %metric auc={i/10} --step {i}"),
        code(f"from perijove.experiments import told\ntold.tell('{TOKEN}', 1.0)"),
        code("os.environ['PERIJOVE_METRICS'] = '/nowhere/at/all'"),
        code("%metric auc=1"),
    )
    flags = ("--work", "work", "--metrics", "metrics.jsonl")
    assert folder.run(content, None, *flags) == 0
    assert printed(folder.output.cells[0]) == f"{work} 7\n"
    lines = (folder.path / "metrics.jsonl").read_text().splitlines()
    told = [json.loads(line) for line in lines]
    assert [(one["name"], one["value"], one["step"]) for one in told] == [
        ("auc", 0.0, 0),
        ("auc", 0.1, 1),
        ("auc", 0.2, 2),
        ("[secret removed]", 1.0, None),
    ]
    assert all(abs(one["at"] - time.time()) < 120 for one in told)


def test_events_say_when_and_which_cell(folder: Folder) -> None:
    began = time.time()
    content = notebook(code("  "), code("# first line\n1"))
    assert folder.run(content) == 0
    started, cell, done, ended = folder.events
    assert started["cells_total"] == 1
    assert (cell["number"], cell["index"], cell["line"]) == (1, 1, "# first line")
    assert done["number"] == 1
    assert ended["ending"] == "succeeded"
    assert began < started["at"] <= cell["at"] <= done["at"] <= ended["at"] < time.time()


def test_a_users_secret_is_nowhere_in_what_is_left(folder: Folder) -> None:
    content = notebook(
        code("import os, sys, json, base64, time; s = os.environ['PERIJOVE_SECRET_DB']"),
        code("print(s); print(repr(s)); print(json.dumps(s)); print(base64.b64encode(s.encode()))"),
        code(
            "for piece in s:\n"
            "    sys.stdout.write(piece); sys.stdout.flush(); time.sleep(0.02)\nprint('.')"
        ),
        code("{'s': s}"),
        code("display({'application/json': {s: [s]}, 'text/html': s}, raw=True)"),
        code(
            "show = 'printf %s \"$PERIJOVE_SECRET_DB\"'\nos.system(show), os.system(f'{show} >&2')"
        ),
        code("raise ValueError(s)"),
    )
    assert folder.run(content, None, environment={"PERIJOVE_SECRET_DB": SECRET}) == 3
    coded = base64.b64encode(SECRET.encode()).decode()
    for left in (folder.left, json.dumps(folder.output), folder.log):
        for part in ("Grüße", "Gr\\u00fc\\u00dfe", "🗝", coded):
            assert part not in left
    assert printed(folder.output.cells[2]) == "[secret removed].\n"
    assert printed(folder.output.cells[1]).count("[secret removed]") == 4


@pytest.mark.parametrize("leave", ["exit(0)", "import sys; sys.exit()"])
def test_leaving_early_is_no_success_and_in_the_last_cell_it_is(folder: Folder, leave: str) -> None:
    assert folder.run(notebook(code(f"print('a')\n{leave}"), code("1"))) == 3
    assert (folder.ending["ending"], folder.ending["cell"]) == ("cell_error", 0)
    assert folder.ending["error"].startswith("SystemExit")
    (folder.path / "events.jsonl").unlink()
    assert folder.run(notebook(code("1"), code(f"print('a')\n{leave}"))) == 0
    assert printed(folder.output.cells[1]).startswith("a\n")


@pytest.mark.parametrize("leave", ["exit(1)", "import sys; sys.exit(3)"])
def test_leaving_with_an_error_is_one(folder: Folder, leave: str) -> None:
    assert folder.run(notebook(code(leave))) == 3
    assert folder.ending["ending"] == "cell_error"


def test_a_wish_to_end_is_heard_before_the_kernel_answers(folder: Folder) -> None:
    process = folder.start(notebook(code("import time; time.sleep(600)")))
    deadline = time.monotonic() + 30
    while not (folder.path / "events.jsonl").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 143


def test_what_a_dying_kernel_says_last_is_in_the_log(folder: Folder) -> None:
    assert folder.run(notebook(code("import ctypes\nctypes.string_at(0)"))) == 4
    assert "Segmentation fault" in folder.log


def test_no_path_of_this_machine_is_in_the_output(folder: Folder) -> None:
    content = notebook(code("1"))
    content["metadata"]["papermill"] = {"input_path": "/home/ada/x.ipynb", "parameters": {}}
    assert folder.run(content) == 0
    assert not [name for name in folder.output.metadata.papermill if name.endswith("path")]
    assert "/home/ada" not in json.dumps(folder.output)
    assert os.fspath(folder.path) not in json.dumps(folder.output.metadata)


def test_a_message_that_is_none_harms_no_other(folder: Folder) -> None:
    source = (
        "kernel = get_ipython().kernel\n"
        "kinds = {'stream': {}, 'display_data': {'data': 7}, 'error': {}, 'status': {}}\n"
        "for kind, content in kinds.items():\n"
        "    kernel.session.send(kernel.iopub_socket, kind, content, parent=kernel.get_parent())"
    )
    content = notebook(code(source), code("print('after')"))
    assert folder.run(content) == 0
    assert "cannot be read: KeyError" in folder.log
    assert printed(folder.output.cells[1]) == "after\n"


def test_a_notebook_that_cannot_be_saved_is_left_as_a_journal(folder: Folder) -> None:
    # Where the output belongs there is a folder: no disk can be filled in a test.
    (folder.path / "output.ipynb").mkdir()
    assert folder.run(notebook(code("print('kept')"))) == 0
    assert "could not be saved: Is a directory" in folder.log
    assert not (folder.path / "output.part").exists()
    assert rebuilt(folder)["cells"][0]["outputs"][0]["text"] == "kept\n"


def test_a_runner_passes_over_what_it_does_not_know_and_says_so(folder: Folder) -> None:
    # Its image is older than the platform, for ever.
    flags = ("--of-next-year", "7", "--work", "work", "--cell", "1", "--switch")
    (folder.path / "work").mkdir()
    content = notebook(code("import os, time\ntime.sleep(1.5)\nprint(os.getcwd())"))
    assert folder.run(content, None, *flags) == 0, folder.log
    assert printed(folder.output.cells[0]) == f"{folder.path / 'work'}\n"
    assert "passes over what it does not know: --of-next-year 7 --cell 1 --switch]" in folder.log


def test_a_notebook_that_deletes_its_folder_leaves_its_output_all_the_same(folder: Folder) -> None:
    there = folder.path / "there"
    (there / "work").mkdir(parents=True)
    source = f"print('kept')\nimport shutil\nshutil.rmtree({str(there)!r})"
    command = [sys.executable, "-m", "perijove.runner", "notebook.ipynb"]
    command += ["--parameters", "parameters.json", "--output", "output.ipynb"]
    command += ["--events", "events.jsonl", "--work", "work"]
    (there / "notebook.ipynb").write_text(json.dumps(notebook(code(source), code("1 / 0"))))
    (there / "parameters.json").write_text("{}")
    done = subprocess.run(command, cwd=there, capture_output=True, timeout=60)
    assert done.returncode == 3, done.stdout
    output = json.loads((there / "output.ipynb").read_text())
    assert output["cells"][0]["outputs"][0]["text"] == "kept\n"
    events = [json.loads(line) for line in (there / "events.jsonl").read_text().splitlines()]
    told = [event["event"] for event in events]
    assert told == ["started", "cell", "done", "cell", "ended"]
    assert (events[-1]["ending"], events[-1]["cell"]) == ("cell_error", 1)


def test_what_goes_on_behind_a_cell_is_kept_and_a_child_left_behind_costs_no_time(
    folder: Folder,
) -> None:
    behind = (
        "import subprocess, threading, time\n"
        "def speak():\n    time.sleep(0.5); print('from behind', flush=True)\n"
        "thread = threading.Thread(target=speak); thread.start()"
    )
    content = notebook(
        code(behind),
        code("print('half \\ud83d of it')\nthread.join(); time.sleep(0.1)"),
        code(
            "left = subprocess.Popen(['sleep', '600'])\n"
            "from multiprocessing import resource_tracker\nresource_tracker.ensure_running()"
        ),
    )
    assert folder.run(content) == 0
    # The kernel would wait for both, for half a minute.
    assert time.time() - folder.ending["at"] < 10
    assert "killed" not in folder.log
    assert "from behind\n" in printed(folder.output.cells[1])
    assert "half \\ud83d of it\n" in printed(folder.output.cells[1])

"""A run keeps within its limits, and says what it left out."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.jobs.notebooks import code, notebook
from tests.jobs.scratch import Folder, printed

#: Prints the most memory that the runner, the kernel's parent, has taken so far, in KiB.
PEAK = (
    "import os, re\nstatus = open(f'/proc/{os.getppid()}/status').read()\n"
    "print(re.search(r'VmHWM:\\s+(\\d+)', status)[1])"
)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_a_cell_that_prints_a_gigabyte_is_capped_and_says_so(folder: Folder) -> None:
    flood = "for i in range(1000):\n    print('x' * 999_999)\nprint('the last')"
    flushed = "for i in range(3000):\n    print(str(i) * 2000, flush=True)\nprint('the end')"
    content = notebook(code(flood), code(flushed), code("print('others too')"), code(PEAK))
    assert folder.run(content, None, "--max-output-mb", "4") == 0
    size = (folder.path / "output.ipynb").stat().st_size
    assert size < 5 * 2**20
    assert (folder.path / "log").stat().st_size < 5 * 2**20
    first, second, third, peak = (printed(cell) for cell in folder.output.cells)
    assert first.startswith("xxx")
    assert first.endswith("the last\n")
    left_out = re.search(r"\[(\d+) characters left out here: a run keeps 4.0 MiB", first)
    assert left_out is not None
    assert int(left_out[1]) > 990_000_000
    note = left_out[0]
    assert note in folder.log
    assert len(first) - first.count("[") * 200 < 2**20 + 2**17
    # Nothing is counted twice or not at all.
    said = re.sub(r"\n\[\d+ characters[^\n]*\]\n", "", first)
    assert int(left_out[1]) + len(said) == 1000 * 1_000_000 + len("the last\n")
    assert second.startswith("0" * 2000 + "\n" + "1" * 2000)
    assert second.endswith("the end\n")
    assert third == "others too\n"
    # The interpreter and papermill take about 90 MiB; a message takes up to 256 KiB.
    assert int(peak) < 250 * 1024


def test_a_rich_output_above_the_limit_is_replaced_by_text_that_says_so(folder: Folder) -> None:
    large = (
        "from IPython.display import display\n"
        "display({'image/png': 'A' * 3_000_000, 'text/plain': 'a chart'}, raw=True)"
    )
    content = notebook(code(large), code("display({'text/html': '<b>small</b>'}, raw=True)"))
    assert folder.run(content, None, "--max-output-mb", "2") == 0
    first, second = folder.output.cells
    assert list(first.outputs[0].data) == ["text/plain"]
    assert "[image/png, text/plain of 2.9 MiB left out: " in first.outputs[0].data["text/plain"]
    assert "left out" in folder.log
    assert second.outputs[0].data == {"text/html": "<b>small</b>"}


def test_what_comes_when_the_limit_is_reached_is_counted_and_errors_are_kept(
    folder: Folder,
) -> None:
    many = "for _ in range(300):\n    display({'text/html': 'B' * 10_000}, raw=True)"
    content = notebook(code(many), code("display('more')\n1 / 0"))
    assert folder.run(content, None, "--max-output-mb", "1") == 3
    assert (folder.path / "output.ipynb").stat().st_size < 1.2 * 2**20
    first, second = folder.output.cells
    kept = [output for output in first.outputs if "text/html" in output.get("data", {})]
    left_out = re.search(r"\[(\d+) outputs left out", printed(first))
    replaced = sum(
        "left out" in output.get("data", {}).get("text/plain", "") for output in first.outputs
    )
    assert left_out is not None
    assert len(kept) + replaced + int(left_out[1]) == 300
    assert [output.ename for output in second.outputs if output.output_type == "error"] == [
        "ZeroDivisionError"
    ]


def test_an_output_that_changes_in_place_is_counted_once(folder: Folder) -> None:
    source = (
        "handle = display({'text/html': ''}, raw=True, display_id=True)\n"
        "for i in range(50):\n"
        "    handle.update({'text/html': str(i) * 100_000}, raw=True)"
    )
    cleared = (
        "from IPython.display import clear_output\n"
        "for i in range(50):\n"
        "    clear_output(wait=True); print(str(i) * 100_000)"
    )
    assert folder.run(notebook(code(source), code(cleared)), None, "--max-output-mb", "1") == 0
    first, second = folder.output.cells
    assert first.outputs[0].data["text/html"] == "49" * 100_000
    assert printed(second) == "49" * 100_000 + "\n"


def test_a_notebook_of_a_hundred_megabytes_runs(folder: Folder) -> None:
    content = notebook(code("C = 1", tags=["parameters"]), code("print(C)"), code(PEAK))
    for number in range(100):
        content["cells"].append(
            {"cell_type": "markdown", "metadata": {}, "id": f"m{number}", "source": "m" * 2**20}
        )
    assert folder.run(content, {"C": 2}) == 0
    output = json.loads((folder.path / "output.ipynb").read_text())
    assert output["cells"][2]["outputs"][0]["text"] == "2\n"
    assert len(output["cells"][-1]["source"]) == 2**20
    # Papermill holds the text and the cells at once.
    assert int(output["cells"][3]["outputs"][0]["text"]) < 800 * 1024


def test_a_cell_that_runs_too_long_is_interrupted(folder: Folder) -> None:
    content = notebook(
        code("print('quick')"),
        code("import time\nprint('sleeping')\ntime.sleep(600)", tags=["raises-exception"]),
        code("print('after')"),
    )
    assert folder.run(content, None, "--cell-timeout", "1") == 7
    ending = folder.ending
    assert (ending["ending"], ending["cell"]) == ("cell_timeout", 1)
    assert ending["error"] == "It ran longer than the 1 s a cell may"
    quick, slow, after = folder.output.cells
    assert printed(quick) == "quick\n"
    assert printed(slow) == "sleeping\n"
    assert slow.outputs[-1].ename == "KeyboardInterrupt"
    assert after.outputs == []


def test_a_kernel_that_ignores_the_interrupt_ends_all_the_same(folder: Folder) -> None:
    deaf = (
        "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "print('deaf', flush=True)\nimport os; open('pid', 'w').write(str(os.getpid()))\n"
        "while True: time.sleep(1); print('still here', flush=True)"
    )
    assert folder.run(notebook(code(deaf)), None, "--cell-timeout", "1") == 7
    assert folder.ending["ending"] == "cell_timeout"
    assert printed(folder.output.cells[0]).startswith("deaf\nstill here\n")
    assert not Path(f"/proc/{(folder.path / 'pid').read_text()}").exists()

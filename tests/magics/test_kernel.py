"""In a real kernel: a line that updates in place, and an error that stops whoever runs cells."""

from __future__ import annotations

from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.fixtures.processes import pythonpath


def execute(monkeypatch: pytest.MonkeyPatch, *sources: str) -> Any:
    monkeypatch.setenv("PYTHONPATH", pythonpath())
    monkeypatch.delenv("PERIJOVE_URL", raising=False)
    cells = [nbformat.v4.new_code_cell(source) for source in ("%load_ext perijove", *sources)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    try:
        NotebookClient(notebook, timeout=60).execute()
    except CellExecutionError as error:
        return notebook, error
    return notebook, None


def test_a_status_is_one_output_that_changes(monkeypatch):
    source = """
from perijove.magics.display import Status
with Status() as status:
    status.show("cell 1 of 2 <b>", state="running")
    status.show("done", state="succeeded")
"""
    notebook, error = execute(monkeypatch, source)
    assert error is None
    (output,) = notebook.cells[1].outputs
    assert output.data["text/plain"] == "[succeeded] done"
    assert "succeeded" in output.data["text/html"]


def test_an_error_of_ours_stops_the_run_with_one_line(monkeypatch):
    notebook, error = execute(monkeypatch, "%catalog cancer", "after = 1")
    assert error is not None
    assert error.ename == "NotConfigured"
    (output,) = notebook.cells[1].outputs
    assert len(output.traceback) == 1
    assert "PERIJOVE_URL is not set" in output.traceback[0]
    assert "perijove/magics" not in output.traceback[0]
    assert notebook.cells[2].execution_count is None

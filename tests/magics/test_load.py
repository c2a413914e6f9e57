"""Loading the magics costs next to nothing and takes nobody's name."""

from __future__ import annotations

import subprocess
import sys

from perijove.magics import CELL_MAGICS, LINE_MAGICS, register
from tests.fixtures.processes import pythonpath

LOAD = """
import sys, time
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
before = set(sys.modules)
began = time.perf_counter()
shell.run_line_magic("load_ext", "perijove")
took = time.perf_counter() - began
new = {name.split(".")[0] for name in set(sys.modules) - before}
print(took, *sorted(new))
"""


def test_loading_takes_less_than_150_ms_and_imports_nothing_heavy():
    answer = subprocess.run(
        [sys.executable, "-c", LOAD],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": pythonpath()},
    )
    took, *imported = answer.stdout.split()
    assert float(took) < 0.15
    heavy = "pydantic httpx pandas pyarrow numpy mlflow fastapi sqlalchemy torch sklearn duckdb"
    assert not set(heavy.split()) & set(imported)


def test_every_magic_is_there_by_name(shell):
    magics = shell.magics_manager.magics
    assert set(LINE_MAGICS) <= set(magics["line"])
    assert set(CELL_MAGICS) <= set(magics["cell"])


def test_a_class_is_imported_at_its_first_use_and_made_once(shell, ada):
    first = shell.run_line_magic("catalog", "cancer")
    assert len(first) == 1
    shell.run_line_magic("reload_ext", "perijove")
    assert len(shell.run_line_magic("catalog", "cancer")) == 1


def test_another_extensions_sql_keeps_its_name(shell, capsys):
    def theirs(line: str, cell: str = "") -> str:
        return "theirs"

    shell.register_magic_function(theirs, magic_kind="cell", magic_name="sql")
    register(shell)
    assert "%%pjsql" in capsys.readouterr().out
    assert shell.magics_manager.magics["cell"]["sql"] is theirs
    assert "pjsql" in shell.magics_manager.magics["cell"]


def test_an_error_of_ours_is_one_line_and_fails_the_cell(shell, monkeypatch, capsys):
    monkeypatch.delenv("PERIJOVE_URL", raising=False)
    result = shell.run_cell("%catalog cancer\nreached = True")
    assert type(result.error_in_exec).__name__ == "NotConfigured"
    assert "reached" not in shell.user_ns
    out = capsys.readouterr().out
    assert "PERIJOVE_URL is not set" in out
    assert "Traceback" not in out
    assert len(out.strip().splitlines()) == 1


def test_a_value_that_does_not_fit_is_one_line_too(shell, capsys):
    result = shell.run_cell("%deploy m --version 1 --name 'A b'")
    assert type(result.error_in_exec).__name__ == "Unfit"
    out = capsys.readouterr().out
    assert "'name' cannot be 'A b'. Use lower-case letters" in out
    assert len(out.strip().splitlines()) == 1


def test_an_error_of_the_users_own_keeps_its_traceback(shell, capsys):
    shell.run_cell("1/0")
    assert "ZeroDivisionError" in capsys.readouterr().out

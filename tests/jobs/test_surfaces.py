"""Magics, Python and the command line say the same of the same jobs."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from IPython.core.interactiveshell import InteractiveShell

from perijove import jobs
from perijove.exceptions import ApiError, NotebookError, ParameterError, PerijoveError
from perijove.magics.jobs import JobMagics, JobRun
from perijove.types.jobs import RunState
from perijove_hub.cli.jobs import jobs as command
from tests.fixtures.api import Api
from tests.jobs.notebooks import code, notebook


def test_from_python(ada: Api) -> None:
    assert [parameter.name for parameter in jobs.inspect("Tutorial.ipynb").parameters] == ["C"]
    job = jobs.create("Tutorial.ipynb", schedule="0 6 * * 1-5", timezone="Europe/Berlin")
    assert (job.name, job.latest.path) == ("tutorial", "Tutorial.ipynb")
    assert job.schedule and job.schedule.timezone == "Europe/Berlin"
    states: list[RunState] = []
    run = jobs.run("tutorial", C=2, follow=lambda seen: states.append(seen.state))
    assert run.state is RunState.succeeded
    assert states[-1] is RunState.succeeded
    assert "C = 2.0" in "".join(jobs.logs("tutorial"))
    assert [one.id for one in jobs.runs("tutorial")] == [run.id]
    assert [one.name for one in jobs.list()] == ["tutorial"]
    with pytest.raises(ApiError, match="Did you mean 'C'"):
        jobs.run("tutorial", c=2)
    with pytest.raises(PerijoveError, match="There is no job 'tutorail'"):
        jobs.run("tutorail")
    with pytest.raises(PerijoveError, match="No run of 'tutorial' is queued or running"):
        jobs.cancel("tutorial")


def test_python_dates_and_numbers_of_numpy_are_carried(ada: Api) -> None:
    import numpy as np

    content = notebook(
        code("day: 'date' = None\nrows: int = 1", tags=["parameters"]), code("print(day, rows)")
    )
    jobs.create(content, "dated")
    run = jobs.run("dated", day=date(2026, 2, 3), rows=np.int64(5))
    assert run.parameters == {"day": "2026-02-03", "rows": 5}
    assert "2026-02-03 5" in "".join(jobs.logs("dated"))


def test_promote_and_run_from_a_notebook(
    ada: Api, shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    magics = JobMagics(shell)
    promoted = magics.promote("--path Tutorial.ipynb --visibility group")
    assert "tutorial is a job, version 1." in capsys.readouterr().out
    assert "parameters: C" in repr(promoted)
    assert promoted is not None
    assert "<b>tutorial</b>" in promoted._repr_html_()
    found = magics.job("run tutorial --param C=2.0")
    assert isinstance(found, JobRun)
    assert found.state is RunState.succeeded
    out = capsys.readouterr().out
    assert "[succeeded] tutorial: run" in out
    assert len(out.splitlines()) < 10
    magics.job("logs tutorial")
    assert "C = 2.0" in capsys.readouterr().out
    assert "tutorial" in repr(magics.job("list"))
    assert "succeeded" in repr(magics.job("show tutorial"))


#: A line of a magic, and what is said of it.
MISTAKES = [
    ("job run tutorial --param c=2", "Did you mean 'C'"),
    ("job run tutorial --param C=two", "must be a number, not 'two'"),
    ("job run tutorial --param C", "is not NAME=VALUE"),
    ("job run nothing", "There is no job 'nothing'"),
    ("job frobnicate", "nothing %job can do"),
    ("job", "What of jobs?"),
    ("promote --path nowhere.ipynb", "cannot be read: No such file"),
    ("promote --path text.txt", "it is not JSON"),
    ("promote No/Name --path Tutorial.ipynb", "Try 'name'"),
    ("promote --path Tutorial.ipynb --schedule '0 0 30 2 *'", "never comes due"),
    ("promote --path Tutorial.ipynb --visibility all", "--visibility must be"),
    ("promote", "%promote --path NOTEBOOK.ipynb"),
]


def test_what_is_wrong_is_said_in_one_line(ada: Api, shell: InteractiveShell) -> None:
    Path("text.txt").write_text("text")
    jobs.create("Tutorial.ipynb")
    for line, message in MISTAKES:
        name, _, rest = line.partition(" ")
        with pytest.raises(PerijoveError, match=re.escape(message)) as caught:
            shell.run_line_magic(name, rest)
        said = "".join(caught.value._render_traceback_())  # type: ignore[attr-defined]
        assert len(said.splitlines()) == 1


def test_a_notebook_without_parameters_is_promoted_with_a_hint(
    ada: Api, shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("plain.ipynb").write_text(json.dumps(notebook(code("1"))))
    JobMagics(shell).promote("--path plain.ipynb")
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "plain is a job, version 1."
    assert "tag the cell 'parameters'" in out[1]


def test_inside_a_run_nothing_is_promoted_or_run(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PERIJOVE_RUN_ID", "r1")
    assert JobMagics(shell).promote("") is None
    assert JobMagics(shell).job("run tutorial --param C=1") is None
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_the_notebook_is_found_by_the_environment_and_must_be_saved(
    ada: Api,
    shell: InteractiveShell,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", str(Path("Mine.ipynb").absolute()))
    Path("Mine.ipynb").write_text(json.dumps(notebook(code("x = 1"))))
    result = shell.run_cell("%promote", store_history=True)
    assert isinstance(result.error_in_exec, NotebookError)
    assert "Save it" in str(result.error_in_exec)
    Path("Mine.ipynb").write_text(json.dumps(notebook(code("x = 1"), code("%promote\n"))))
    result = shell.run_cell("%promote", store_history=True)
    result.raise_error()
    assert jobs.show("mine").latest.path.endswith("Mine.ipynb")


def test_the_server_is_asked_which_notebook_it_is(
    ada: Api,
    shell: InteractiveShell,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    content = notebook(code("%promote"))
    server = {
        "/user/ada/api/sessions": [{"kernel": {"id": "k-1"}, "path": "sub/New name.ipynb"}],
        "/user/ada/api/contents/sub/New%20name.ipynb": {"content": content},
    }

    def answer(self: Any, request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode().partition("?")[0]
        assert request.headers["authorization"] == "token server-token"
        return httpx.Response(200, json=server[path], request=request)

    class Kernel:
        config = {"IPKernelApp": {"connection_file": "/run/kernel-k-1.json"}}  # noqa: RUF012

    from perijove.magics import notebook as room

    # A shell in this process stands for a kernel, and what Jupyter answers is written down here;
    # tests/e2e runs %promote in JupyterLab itself.
    monkeypatch.setattr(shell, "kernel", Kernel(), raising=False)
    monkeypatch.setenv("JUPYTERHUB_SERVICE_URL", "http://127.0.0.1:9/user/ada/")
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "server-token")
    monkeypatch.setenv("JPY_SESSION_NAME", str(Path("Tutorial.ipynb").absolute()))
    with monkeypatch.context() as patch:
        patch.setattr(httpx.HTTPTransport, "handle_request", answer)
        found = room._from_server(shell)
    assert found == room.Saved(content, "sub/New name.ipynb")


def test_from_the_command_line(ada: Api) -> None:
    def perijove(*arguments: str, status: int = 0) -> str:
        result = CliRunner().invoke(command, arguments)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == status, result.output
        return result.stdout

    assert "tutorial is a job, version 1." in perijove("create", "Tutorial.ipynb")
    assert "succeeded" in perijove("run", "tutorial", "--param", "C=2.0")
    run = json.loads(perijove("run", "tutorial", "--param", "C=3", "--json"))
    assert (run["state"], run["parameters"]) == ("succeeded", {"C": 3.0})
    assert [job["name"] for job in json.loads(perijove("list", "--json"))] == ["tutorial"]
    assert "tutorial" in perijove("list")
    assert "strength" in perijove("show", "tutorial")
    assert json.loads(perijove("show", "tutorial", "--json"))["latest"]["version"] == 1
    assert "C = 3.0" in perijove("logs", "tutorial")
    with pytest.raises(ParameterError, match="must be a number"):
        perijove("run", "tutorial", "--param", "C=two")
    Path("bad.ipynb").write_text(json.dumps(notebook(code("1 / 0"))))
    perijove("create", "bad.ipynb")
    assert "ZeroDivisionError" in perijove("run", "bad", status=1)
    failed = jobs.runs("bad")[0].id
    shown = perijove("show", "bad", "--run", failed)
    assert ">    1 1 / 0" in shown
    assert "Traceback" in shown
    assert json.loads(perijove("show", "bad", "--run", failed, "--json"))["id"] == failed
    Path("long.ipynb").write_text(json.dumps(notebook(code("import time; time.sleep(600)"))))
    perijove("create", "long.ipynb")
    perijove("run", "long", "--no-wait")
    assert json.loads(perijove("cancel", "long", "--json"))["job"] == "long"

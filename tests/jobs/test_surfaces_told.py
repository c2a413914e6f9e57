"""Who is told of a job, and its DAG for Airflow: command line and magics."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from IPython.core.interactiveshell import InteractiveShell

from perijove.exceptions import ApiError, PerijoveError
from perijove.jobs.finding import JobError
from perijove_hub.cli.main import cli
from perijove_hub.settings import NotificationSettings, SmtpSettings
from tests.fixtures.api import Api


def perijove(*arguments: str, given: str | None = None) -> str:
    """Run ``perijove …`` and return what it printed."""
    result = CliRunner().invoke(cli, arguments, input=given)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_somebody_is_told_and_told_no_more(ada: Api, shell: InteractiveShell) -> None:
    ada.context.settings.notifications = NotificationSettings(
        allow=["127.0.0.1"],
        smtp=SmtpSettings(host="127.0.0.1", port=1, sender="perijove@example.org"),
        email_domains=["example.org"],
    )
    perijove("jobs", "create", "Tutorial.ipynb")
    url = "http://127.0.0.1:9/hook?key=hunter2"
    said = perijove(
        "jobs", "notify", "tutorial", "--webhook", "-", "--late-after", "2h", given=url + "\n"
    )
    assert "failed, late (2h), recovered" in said
    assert "Messages are signed with whsec_" in said
    listed = json.loads(perijove("jobs", "notifications", "tutorial", "--json"))
    assert [one["signing_key"] for one in listed] == [None]
    with pytest.raises(ApiError, match=r"did not arrive: 127\.0\.0\.1 does not answer"):
        perijove("jobs", "notify", "tutorial", "--webhook", url, "--test")
    shell.run_line_magic("job", "notify tutorial --email ada@example.org --on failed,succeeded")
    assert len(json.loads(perijove("jobs", "notifications", "tutorial", "--json"))) == 3
    for one in json.loads(perijove("jobs", "notifications", "tutorial", "--json")):
        said = perijove("jobs", "notifications", "tutorial", "--remove", one["id"])
    assert "Nobody is told of its runs." in said


def test_a_notebook_takes_no_webhook(ada: Api, shell: InteractiveShell) -> None:
    perijove("jobs", "create", "Tutorial.ipynb")
    with pytest.raises(PerijoveError, match="may hold a password"):
        shell.run_line_magic("job", "notify tutorial")
    with pytest.raises(PerijoveError, match="--on must be"):
        shell.run_line_magic("job", "notify tutorial --email ada@example.org --on fialed")


def test_a_group_owns_it(ada: Api) -> None:
    perijove("jobs", "create", "Tutorial.ipynb", "--owner-group", "research", "--retries", "2")
    perijove("jobs", "create", "Tutorial.ipynb", "--owner-group", "research", "--retry-delay", "9")
    job = json.loads(perijove("jobs", "show", "tutorial", "--json"))
    assert (job["owner"], job["owner_group"], job["policy"]["retries"]) == ("ada", "research", 2)
    with pytest.raises(ApiError, match="'risk' is not a group of yours"):
        perijove("jobs", "edit", "tutorial", "--owner-group", "risk")


def test_a_dag_is_written(ada: Api, shell: InteractiveShell) -> None:
    perijove("jobs", "create", "Tutorial.ipynb")
    text = perijove("jobs", "export", "tutorial", "--to", "airflow")
    compile(text, "dag.py", "exec")
    perijove("jobs", "export", "tutorial", "--output", "dags/one.py")
    shell.run_line_magic("job", "export tutorial")
    assert Path("dags/one.py").read_text() == Path("tutorial_dag.py").read_text() == text
    with pytest.raises(JobError, match="two.py cannot be written: "):
        perijove("jobs", "export", "tutorial", "--output", "dags/one.py/two.py")

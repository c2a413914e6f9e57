"""Who is told of a job, and its DAG for Airflow: command line and magics."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from IPython.core.interactiveshell import InteractiveShell

from perijove.exceptions import ApiError, PerijoveError
from perijove.jobs.finding import JobError
from perijove_hub.cli.main import cli
from perijove_hub.jobs import lineage
from perijove_hub.settings import NotificationSettings, SmtpSettings, SourceSettings
from perijove_hub.store.models import DatasetRow, DeliveryRow, SourceRow, utcnow
from tests.fixtures.api import Api


def perijove(*arguments: str, given: str | None = None) -> str:
    """Run ``perijove …`` and return what it printed."""
    result = CliRunner().invoke(cli, arguments, input=given)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def last() -> str:
    """Return the id of the newest of those who are told."""
    found = json.loads(perijove("jobs", "notifications", "tutorial", "--json"))
    return str(found[-1]["id"])


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
    with pytest.raises(ApiError, match="did not arrive"):
        perijove("jobs", "notifications", "tutorial", "--test", listed[0]["id"])
    with pytest.raises(ApiError, match="the mail server does not answer"):
        shell.run_line_magic("job", "notify tutorial --email ada@example.org --test")
    shell.run_line_magic("job", "notifications tutorial --remove " + last())
    shell.run_line_magic("job", "notify tutorial --email ada@example.org --on failed,succeeded")
    assert len(json.loads(perijove("jobs", "notifications", "tutorial", "--json"))) == 3
    with ada.context.database.session() as session:
        session.add(
            DeliveryRow(
                notification_id=last(), key="failed:r1", event="failed", run_id="r1", attempts=1,
                error="the mail server does not answer", next_at=utcnow() + timedelta(hours=1),
            )
        )  # fmt: skip
    (sent,) = json.loads(perijove("jobs", "notifications", "tutorial", "--messages", "--json"))
    assert (sent["run_id"], sent["target"]) == ("r1", "ada@example.org")
    shown = perijove("jobs", "notifications", "tutorial", "--messages")
    assert "the mail server does not answer" in shown
    magic = shell.run_line_magic("job", "notifications tutorial --messages")
    assert repr(magic).strip() == shown.strip()
    for one in json.loads(perijove("jobs", "notifications", "tutorial", "--json")):
        said = perijove("jobs", "notifications", "tutorial", "--remove", one["id"])
    assert "Nobody is told of its runs." in said


def test_a_notebook_takes_no_webhook(ada: Api, shell: InteractiveShell) -> None:
    perijove("jobs", "create", "Tutorial.ipynb")
    with pytest.raises(PerijoveError, match="may hold a password"):
        shell.run_line_magic("job", "notify tutorial")
    with pytest.raises(PerijoveError, match="--on must be"):
        shell.run_line_magic("job", "notify tutorial --email ada@example.org --on fialed")


def test_whose_runs_read_a_dataset(ada: Api, shell: InteractiveShell, tmp_path: Path) -> None:
    source = SourceSettings(url=f"sqlite:///{tmp_path / 'shop.sqlite'}", groups=["research"])
    ada.context.settings.catalog.sources["shop"] = source
    perijove("jobs", "create", "Tutorial.ipynb")
    run = json.loads(perijove("jobs", "run", "tutorial", "--no-wait", "--json"))["id"]
    with ada.context.database.session() as session:
        session.add(SourceRow(name="shop", kind="sqlite"))
        session.flush()
        session.add(DatasetRow(name="shop.main.t", source="shop", schema_name="main", table="t"))
        lineage.looked_at(session, run, "shop.main.t")
    found = json.loads(perijove("jobs", "lineage", "--dataset", "shop.main.t", "--json"))
    assert [(one["job"], one["id"]) for one in found] == [("tutorial", run)]
    assert run in repr(shell.run_line_magic("job", "lineage --dataset shop.main.t"))
    with pytest.raises(ApiError, match="Give one of dataset, tracked_run"):
        perijove("jobs", "lineage")
    with pytest.raises(PerijoveError, match="Name a job, or what its runs read"):
        shell.run_line_magic("job", "lineage tutorial --dataset shop.main.t")


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
    with pytest.raises(JobError, match=r"two\.py cannot be written: "):
        perijove("jobs", "export", "tutorial", "--output", "dags/one.py/two.py")

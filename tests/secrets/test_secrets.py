"""A secret is its owner's alone, kept encrypted, and only runs read it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import select, text

from perijove.types.backfills import BackfillCreate
from perijove.types.jobs import RunCreate, Schedule
from perijove.types.secrets import SecretCreate
from perijove.types.sweeps import SweepCreate
from perijove_hub.context import Context
from perijove_hub.exceptions import Conflict, Invalid, NotFound, Refused
from perijove_hub.identity import issue_run_token
from perijove_hub.jobs.backfills.service import BackfillService
from perijove_hub.jobs.sweeps.service import SweepService
from perijove_hub.paths import DataDir
from perijove_hub.secrets import service as service_module
from perijove_hub.secrets import values
from perijove_hub.secrets.sealing import KEY
from perijove_hub.secrets.service import SecretService
from perijove_hub.store.models import AuditRow, SecretRow, utcnow
from tests.fixtures.api import Api
from tests.jobs.conftest import ADA, ADMIN, GRACE, Platform, platform
from tests.jobs.notebooks import code, notebook

__all__ = ["platform"]

READING = notebook(
    code('token: perijove.Secret = "API_KEY"', tags=["parameters"]), code("print(len(token))")
)
VALUE = "sk-live-4711"


def put(context: Context, name: str = "API_KEY", value: str = VALUE, by: Any = ADA) -> None:
    SecretService(context).put(by, name, SecretCreate(value=value))


def names(context: Context, by: Any = ADA) -> list[str]:
    page = SecretService(context).list(by, cursor=None, limit=50)
    return [one.name for one in page.items]


def opened(context: Context, owner: str = "ada", name: str = "API_KEY") -> str:
    with context.database.reading() as session:
        return values.of_run(session, context, owner, {name})[f"PERIJOVE_SECRET_{name}"]


def test_a_secret_is_kept_listed_changed_and_deleted(context: Context) -> None:
    put(context)
    put(context, "B_KEY")
    put(context, value="another value")
    assert names(context) == ["API_KEY", "B_KEY"]
    assert opened(context) == "another value"
    SecretService(context).delete(ADA, "API_KEY")
    assert names(context) == ["B_KEY"]
    with pytest.raises(NotFound):
        SecretService(context).delete(ADA, "API_KEY")


def test_changing_a_value_moves_its_time_and_not_its_beginning(context: Context) -> None:
    first = SecretService(context).put(ADA, "API_KEY", SecretCreate(value=VALUE))
    again = SecretService(context).put(ADA, "API_KEY", SecretCreate(value=VALUE))
    assert again.created_at == first.created_at
    assert again.updated_at >= first.updated_at


def test_everybody_has_only_their_own(context: Context) -> None:
    put(context)
    put(context, by=GRACE, value="of grace")
    assert names(context, by=ADMIN) == []
    with pytest.raises(NotFound):
        SecretService(context).delete(ADMIN, "API_KEY")
    assert opened(context) == VALUE
    assert opened(context, "grace") == "of grace"


def test_services_and_runs_have_none(context: Context) -> None:
    for kind in ("service", "run"):
        other = ADA.model_copy(update={"kind": kind})
        for asked in (
            lambda other=other: names(context, by=other),
            lambda other=other: put(context, by=other),
            lambda other=other: SecretService(context).delete(other, "API_KEY"),
        ):
            with pytest.raises(Refused):
                asked()


def test_neither_the_database_nor_the_audit_log_holds_a_value(context: Context) -> None:
    put(context)
    with context.database.reading() as session:
        rows = session.execute(text("select * from secrets")).all()
        audit = session.scalars(select(AuditRow)).all()
    assert VALUE not in str(rows)
    assert [(one.verb, one.object, one.detail) for one in audit] == [("secret.put", "API_KEY", {})]


def test_the_key_is_a_file_of_its_own_that_only_its_owner_reads(context: Context) -> None:
    put(context)
    path = context.data.secrets / KEY
    assert path.stat().st_mode & 0o777 == 0o600
    stored = context.data.root.joinpath("perijove.sqlite").read_bytes()
    assert path.read_bytes() not in stored


def test_a_value_that_was_moved_to_another_row_does_not_open(context: Context) -> None:
    put(context)
    put(context, "B_KEY")
    put(context, by=GRACE)
    with context.database.session() as session:
        sealed = session.get_one(SecretRow, ("ada", "API_KEY")).sealed
        session.get_one(SecretRow, ("ada", "B_KEY")).sealed = sealed
        session.get_one(SecretRow, ("grace", "API_KEY")).sealed = sealed
    for owner, name in (("ada", "B_KEY"), ("grace", "API_KEY")):
        with pytest.raises(Invalid, match="cannot be opened"):
            opened(context, owner, name)


def test_another_key_says_so(context: Context, tmp_path: Any) -> None:
    put(context)
    elsewhere = Context(context.settings, DataDir.open(tmp_path / "elsewhere"))
    with (
        context.database.reading() as session,
        pytest.raises(Invalid, match="kept with another key") as caught,
    ):
        values.of_run(session, elsewhere, "ada", {"API_KEY"})
    assert caught.value.fix
    assert f"secrets/{KEY}" in caught.value.fix


@pytest.mark.parametrize(
    ("value", "message"),
    [("abc", "fewer than 4"), ("x" * 65_537, "at most 65,536"), ("a\0bcd", "NUL")],
)
def test_a_value_that_no_run_could_be_given_is_refused(
    context: Context, value: str, message: str
) -> None:
    with pytest.raises(Invalid, match=message) as caught:
        put(context, value=value)
    assert caught.value.field == "value"
    assert value not in f"{caught.value.detail}{caught.value.fix}"
    assert names(context) == []


def test_there_are_not_endlessly_many(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "MOST", 2)
    put(context, "A")
    put(context, "B")
    with pytest.raises(Conflict, match="2 secrets"):
        put(context, "C")
    put(context, "B", "another value")


def test_a_run_takes_no_more_than_an_environment_holds(context: Context) -> None:
    wanted = {f"KEY_{at}" for at in range(9)}
    for name in wanted:
        put(context, name, "x" * 65_536)
    with (
        context.database.reading() as session,
        pytest.raises(Invalid, match="more than 512 KiB together"),
    ):
        values.of_run(session, context, "ada", wanted)


def test_a_message_shows_no_value() -> None:
    assert VALUE not in repr(SecretCreate(value=VALUE))


def test_a_run_that_names_a_secret_its_owner_has_not_is_refused(platform: Platform) -> None:
    job = platform.promote(READING)
    with pytest.raises(Invalid, match="ada has no secret 'API_KEY'") as caught:
        platform.run(job)
    assert caught.value.field == "parameters.token"
    put(platform.context)
    with pytest.raises(Invalid, match="no secret 'OTHER'"):
        platform.run(job, token="OTHER")
    with pytest.raises(Invalid, match="the name of a secret") as caught:
        platform.run(job, token=VALUE)
    assert VALUE not in caught.value.detail
    assert platform.run(job).parameters == {}
    # Its owner's, whoever asks for the run.
    body = RunCreate(parameters={"token": "API_KEY"})
    assert platform.runs.create(ADMIN, job.id, body, key=None).parameters == {"token": "API_KEY"}


def test_a_schedule_that_names_a_secret_its_owner_has_not_is_refused(platform: Platform) -> None:
    with pytest.raises(Invalid, match="no secret 'API_KEY'") as caught:
        platform.promote(READING, schedule=Schedule(cron="0 6 * * *"))
    assert caught.value.field == "schedule.parameters.token"


def test_backfills_and_sweeps_are_refused_too(platform: Platform) -> None:
    job = platform.promote(
        notebook(code('C = 1\ntoken: Secret = "API_KEY"', tags=["parameters"]), code("print(C)"))
    )
    made = (
        lambda: BackfillService(platform.context).create(
            ADA,
            job.id,
            BackfillCreate.model_validate({"range": {"parameter": "C", "values": [1, 2]}}),
            key=None,
        ),
        lambda: SweepService(platform.context).create(
            ADA,
            job.id,
            SweepCreate.model_validate({"space": {"C": {"values": [1, 2]}}, "metric": "loss"}),
            key=None,
        ),
    )
    for make in made:
        with pytest.raises(Invalid, match="no secret 'API_KEY'"):
            make()
    put(platform.context)
    for make in made:
        assert make().id


@pytest.fixture
def ada(api: Api) -> Iterator[httpx.Client]:
    """Ada, with one secret."""
    with api.client("ada") as ada:
        assert ada.put("/secrets/API_KEY", json={"value": VALUE}).status_code == 200
        yield ada


def test_no_answer_holds_a_value(api: Api, ada: httpx.Client) -> None:
    listed = ada.get("/secrets")
    assert [one["name"] for one in listed.json()["items"]] == ["API_KEY"]
    assert set(listed.json()["items"][0]) == {"name", "created_at", "updated_at"}
    for answer in (
        listed,
        ada.put("/secrets/API_KEY", json={"value": VALUE}),
        ada.put("/secrets/API_KEY", json={"value": VALUE, "more": 1}),
        ada.put("/secrets/API_KEY", json={"value": [VALUE]}),
        ada.delete("/secrets/API_KEY"),
    ):
        assert VALUE not in answer.text
    with api.client("admin") as admin:
        assert admin.get("/secrets").json()["items"] == []
        assert admin.delete("/secrets/API_KEY").status_code == 404


@pytest.mark.parametrize("name", ["lower", "1A", "A-B", "A" * 64, "A%0A", "A%20B"])
def test_a_name_that_no_variable_can_have_is_refused(ada: httpx.Client, name: str) -> None:
    answer = ada.put(f"/secrets/{name}", json={"value": VALUE})
    assert answer.status_code == 422
    assert answer.json()["field"] == "name"
    assert "capital letters" in answer.json()["fix"]


def test_the_token_of_a_run_neither_lists_nor_changes_secrets(api: Api, ada: httpx.Client) -> None:
    with api.context.database.session() as session:
        ends = utcnow().replace(year=utcnow().year + 1)
        token = issue_run_token(session, user="ada", run_id="a" * 20, expires_at=ends)
    with api.client("ada", token=token) as run:
        assert run.get("/whoami").status_code == 200
        assert run.get("/secrets").status_code == 403
        assert run.put("/secrets/API_KEY", json={"value": "changed"}).status_code == 403
        assert run.delete("/secrets/API_KEY").status_code == 403
    assert opened(api.context) == VALUE

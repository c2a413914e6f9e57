"""Culling against a real Hub: what workspaces report, and which are stopped."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from perijove_hub.context import Context
from perijove_hub.culling import service
from perijove_hub.culling.duty import CullDuty
from perijove_hub.settings import SizeSettings
from perijove_hub.store.models import JobRow, KernelRow, RunRow, WorkspaceRow, utcnow
from perijove_hub.workspaces import ledger, servers
from tests.fixtures.api import Api


def report(api: Api, user: str = "ada", **more: Any) -> dict[str, Any]:
    with api.client(user) as client:
        body = {"last_activity": utcnow().isoformat(), **more}
        answer = client.post("/workspaces/activity", json=body)
        assert answer.status_code == 200, answer.text
        state: dict[str, Any] = answer.json()
        return state


def put(context: Context, **values: Any) -> None:
    """Give ada a workspace that has run for ten hours."""
    with context.database.session() as session:
        session.merge(
            WorkspaceRow(
                user="ada",
                server="",
                choice={"size": "small", "idle_minutes": 60},
                started_at=utcnow() - timedelta(hours=10),
                activity={},
                **values,
            )
        )


def row_of(context: Context) -> WorkspaceRow:
    with context.database.reading() as session:
        return session.get_one(WorkspaceRow, ("ada", ""))


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """ada's server runs as far as the Hub says; what is stopped is noted."""
    # A server that idles for an hour cannot be waited for; the Hub's own answers are tried in
    # tests/docker and tests/usage.
    now = utcnow()
    long_ago = now - timedelta(hours=10)
    running = servers.Server("ada", "", True, None, long_ago, long_ago)
    noted: list[str] = []
    monkeypatch.setattr(servers, "running", lambda _: [running])
    monkeypatch.setattr(
        servers, "stop", lambda _, user, server="": noted.append(f"{user}/{server}")
    )
    return noted


def test_a_report_tells_when_the_workspace_is_shut_off(api: Api) -> None:
    put(api.context)
    state = report(api)
    assert state["state"] == "active"
    assert state["idle_minutes"] == 60
    assert state["larger"] == "medium (4096 MiB)"
    row = row_of(api.context)
    assert row.active_at is not None
    assert utcnow() - row.active_at < timedelta(seconds=10)


def test_busy_counts_however_silent(api: Api) -> None:
    put(api.context)
    long_ago = (utcnow() - timedelta(hours=5)).isoformat()
    busy = [{"kind": "kernel", "name": "train.ipynb"}]
    state = report(api, last_activity=long_ago, busy=busy)
    assert state["state"] == "active"
    assert state["busy"] == busy


def test_running_jobs_and_open_remote_kernels_count(api: Api) -> None:
    put(api.context)
    with api.context.database.session() as session:
        session.add(JobRow(id="j", name="nightly", owner="ada"))
        session.flush()
        session.add(RunRow(job_id="j", version=1, owner="ada", requested_by="ada", state="running"))
        session.add(
            KernelRow(user="ada", image="gpu@1", digest="sha256:0", size="gpu", state="running")
        )
    long_ago = (utcnow() - timedelta(hours=5)).isoformat()
    state = report(api, last_activity=long_ago)
    assert state["state"] == "active"
    assert {item["kind"] for item in state["busy"]} == {"job", "remote kernel"}


def test_a_clock_that_is_ahead_keeps_nothing_alive(api: Api) -> None:
    put(api.context)
    state = report(api, last_activity="2099-01-01T00:00:00+00:00")
    assert state["active_at"] < (utcnow() + timedelta(seconds=1)).isoformat()


def test_idle_is_warned_then_checkpointed_then_stopped(api: Api, stopped: list[str]) -> None:
    idle_since = utcnow() - timedelta(hours=2)
    put(api.context, active_at=idle_since)
    last = idle_since.isoformat()
    duty = CullDuty(api.context)

    assert report(api, last_activity=last)["state"] == "warned"
    duty.tick()
    assert row_of(api.context).warned_at is not None
    assert stopped == []

    with api.context.database.session() as session:
        session.get_one(WorkspaceRow, ("ada", "")).warned_at = utcnow() - timedelta(minutes=6)
    duty.tick()
    assert stopped == []
    assert report(api, last_activity=last)["state"] == "stopping"

    report(api, last_activity=last, checkpointed=True)
    duty.tick()
    assert stopped == ["ada/"]
    assert row_of(api.context).ending == "It was shut off after 60 minutes without activity."


def test_a_workspace_that_never_makes_its_checkpoints_is_stopped_all_the_same(
    api: Api, stopped: list[str]
) -> None:
    asked = (utcnow() - timedelta(seconds=61)).isoformat()
    put(api.context, active_at=utcnow() - timedelta(hours=2), reported_at=utcnow())
    with api.context.database.session() as session:
        row = session.get_one(WorkspaceRow, ("ada", ""))
        row.activity = {"checkpoints_asked_at": asked}
    CullDuty(api.context).tick()
    assert stopped == ["ada/"]


def test_what_an_earlier_life_was_asked_does_not_stop_this_one(
    api: Api, stopped: list[str]
) -> None:
    asked = (utcnow() - timedelta(hours=1)).isoformat()
    put(api.context, active_at=utcnow(), reported_at=utcnow())
    with api.context.database.session() as session:
        row = session.get_one(WorkspaceRow, ("ada", ""))
        row.activity, row.started_at = {"checkpoints_asked_at": asked}, utcnow()
    CullDuty(api.context).tick()
    assert stopped == []


def test_keep_alive_gives_another_idle_time(api: Api, stopped: list[str]) -> None:
    put(api.context, active_at=utcnow() - timedelta(hours=2), reported_at=utcnow())
    CullDuty(api.context).tick()
    with api.client("ada") as ada:
        state = ada.post("/workspaces/keep", json={}).json()
        assert state["state"] == "idle"
        assert ada.get("/workspaces/idle").json()["keep_until"] == state["keep_until"]
    CullDuty(api.context).tick()
    assert row_of(api.context).warned_at is None
    assert stopped == []


def test_work_that_starts_after_the_warning_takes_it_back(api: Api, stopped: list[str]) -> None:
    put(api.context, active_at=utcnow() - timedelta(hours=2), reported_at=utcnow())
    CullDuty(api.context).tick()
    assert row_of(api.context).warned_at is not None
    assert report(api)["state"] == "active"
    assert row_of(api.context).warned_at is None


def test_who_turned_the_extension_off_is_judged_by_the_hub(api: Api, stopped: list[str]) -> None:
    put(api.context)
    CullDuty(api.context).tick()
    assert row_of(api.context).warned_at is not None


def test_a_gpu_is_given_back_sooner(api: Api) -> None:
    api.context.settings.workspaces.sizes["gpu"] = SizeSettings(gpus=1)
    put(api.context)
    with api.context.database.session() as session:
        row = session.get_one(WorkspaceRow, ("ada", ""))
        row.choice = {"size": "gpu", "idle_minutes": 400}
    assert report(api)["idle_minutes"] == 20


def test_nobody_reports_for_or_keeps_anothers(api: Api) -> None:
    put(api.context)
    with api.client("grace") as grace:
        assert grace.get("/workspaces/idle").status_code == 404
        assert grace.post("/workspaces/keep", json={}).status_code == 404
    with api.client(None) as stranger:
        assert stranger.post("/workspaces/keep", json={}).status_code == 401
    report(api, "grace", busy=[{"kind": "kernel", "name": "x"}])
    assert row_of(api.context).reported_at is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"last_activity": "yesterday"}, "last_activity"),
        ({"last_activity": "2026-01-01T00:00:00"}, "last_activity"),
        ({"busy": [{"kind": "coffee", "name": "x"}]}, "busy.0.kind"),
        ({"busy": [{"kind": "kernel", "name": "x" * 600}]}, "busy.0.name"),
    ],
)
def test_a_strange_report_is_refused_by_field(api: Api, body: dict[str, Any], field: str) -> None:
    with api.client("ada") as ada:
        answer = ada.post(
            "/workspaces/activity", json={"last_activity": utcnow().isoformat(), **body}
        )
    assert answer.status_code == 422
    assert answer.json()["field"] == field


def test_made_up_workspaces_take_nobodys_place_and_end(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MOST_SERVERS", 3)
    put(api.context)
    for number in range(2):
        report(api, server=f"made-up-{number}")
    with api.context.database.reading() as session:
        assert ledger.running(session) == 1
    with api.client("ada") as client:
        body = {"server": "one-more", "last_activity": utcnow().isoformat()}
        answer = client.post("/workspaces/activity", json=body)
    assert answer.status_code == 409
    report(api)
    report(api, "grace")

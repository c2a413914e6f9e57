"""Who sees which usage: one's own, one's group's total, and everything for administrators."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from perijove_hub.gpus import leases
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import GpuRow, UsageRow
from tests.fixtures.api import Api
from tests.fixtures.hub import Hub
from tests.usage.conftest import SETTINGS, at, ran

DAYS = {"from": "2026-11-01", "to": "2026-11-30"}


@pytest.fixture
def api(hub: Hub, tmp_path: Path) -> Iterator[Api]:
    """The API with quotas, and a month in which ada, grace and a nobody ran things."""
    with Api.running(hub, tmp_path / "data", SETTINGS) as api:
        book = api.context.database
        for day in (3, 4):
            start = at(f"2026-11-{day:02} 10:00")
            ran(book, start, start + timedelta(hours=2), image="cpu@1")
        night = at("2026-11-20 23:00")
        ran(book, night, night + timedelta(hours=3), kind="kernel", object="k", gpus=1, price=2)
        noon = at("2026-11-05 12:00")
        ran(book, noon, noon + timedelta(hours=8), user="grace", object="grace/", group="risk")
        ran(book, noon, noon + timedelta(hours=1), user="eve", object="eve/", group=None)
        yield api


def report(api: Api, user: str, **query: str) -> dict[str, object]:
    with api.client(user) as client:
        answer = client.get("/usage", params={**DAYS, **query})
        assert answer.status_code == 200, answer.text
        found: dict[str, object] = answer.json()
        return found


def keys(document: dict[str, object]) -> dict[str, tuple[float, float, float]]:
    items = document["items"]
    assert isinstance(items, list)
    return {item["key"]: (item["hours"], item["gpu_hours"], item["cost"]) for item in items}


def test_one_sees_ones_own_and_the_total_of_ones_group(api: Api) -> None:
    mine = report(api, "ada")
    assert keys(mine) == {"kernel": (3, 3, 6), "workspace": (4, 0, 2)}
    assert [(g["group"], g["total"]["hours"]) for g in mine["groups"]] == [("research", 7)]  # type: ignore[attr-defined]
    theirs = report(api, "grace", by="user")
    assert keys(theirs) == {"grace": (8, 0, 4)}
    assert "ada" not in str(theirs)
    assert "research" not in str(theirs)


def test_an_administrator_sees_everybody(api: Api) -> None:
    everybody = report(api, "admin", by="user")
    assert list(keys(everybody)) == ["ada", "grace", "eve"]
    assert keys(report(api, "admin", by="group"))["risk"] == (8, 0, 4)
    assert None in keys(report(api, "admin", by="group"))
    assert keys(report(api, "admin", by="image"))["cpu@1"] == (4, 0, 2)


def test_days_are_utc_and_a_night_is_two(api: Api) -> None:
    days = keys(report(api, "ada", by="day"))
    assert days["2026-11-20"] == (1, 1, 2)
    assert days["2026-11-21"] == (2, 2, 4)
    one = report(api, "ada", by="day", **{"from": "2026-11-21", "to": "2026-11-21"})
    assert list(keys(one)) == ["2026-11-21"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": "2026-12-01"}, "from"),
        ({"from": "2020-01-01"}, "from"),
        ({"from": "yesterday"}, "from"),
        ({"to": "9999-12-31", "from": "9999-12-30"}, "to"),
        ({"by": "colour"}, "by"),
    ],
)
def test_a_wrong_span_is_refused_with_its_field(
    api: Api, query: dict[str, str], field: str
) -> None:
    with api.client("ada") as ada:
        answer = ada.get("/usage", params={**DAYS, **query})
    assert answer.status_code == 422, answer.text
    assert answer.json()["field"].split(".")[-1] == field


def test_what_runs_now_is_told_to_its_user_with_the_warning(api: Api) -> None:
    with api.context.database.session() as session:
        now = database_now(session)
        session.add(
            UsageRow(
                kind="workspace",
                object="ada/",
                user="ada",
                group="research",
                size="gpu",
                gpus=1,
                price=2,
                started_at=now - timedelta(hours=12),
                seen_at=now,
                warned_at=now,
            )
        )
    with api.client("ada") as ada:
        mine = ada.get("/usage/mine").json()
    (running,) = mine["running"]
    assert (mine["cost"], running["cost"], running["hours"]) == (24, 24, 12)
    assert "of its 10 GPU-hours" in running["warning"]
    assert running["stops_at"] is not None
    with api.client("grace") as grace:
        assert grace.get("/usage/mine").json()["running"] == []


def test_everybody_sees_how_many_gpus_are_free_and_administrators_who_holds_them(
    api: Api,
) -> None:
    with api.context.database.session() as session:
        session.add(GpuRow(id="GPU-1", model="Test", memory_mb=81920, shares=4))
        session.add(GpuRow(id="GPU-2", present=False))
        session.flush()
        leases.acquire(session, kind="kernel", holder="k1", user="grace", gpus=0.5)
    with api.client("ada") as ada:
        seen = ada.get("/gpus").json()
    assert (seen["free"], seen["total"]) == (0.5, 1)
    assert [gpu["holders"] for gpu in seen["devices"]] == [None]
    assert "grace" not in str(seen)
    with api.client("admin") as admin:
        (gpu,) = admin.get("/gpus").json()["devices"]
    assert gpu["free_shares"] == 2
    assert [(one["user"], one["holder"], one["shares"]) for one in gpu["holders"]] == [
        ("grace", "k1", 2)
    ]


def scrape(api: Api, token: str | None) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    url = api.url.replace("/api/v1", "/metrics")
    return httpx.get(url, headers=headers, trust_env=False)


def test_prometheus_reads_figures_with_a_token_that_may_do_nothing_else(api: Api) -> None:
    token = api.hub.data.secret("service-metrics")
    answer = scrape(api, token)
    assert answer.status_code == 200, answer.text
    families = {one.name: one for one in text_string_to_metric_families(answer.text)}
    hours = {
        (s.labels["kind"], s.labels["group"]): s.value
        for s in families["perijove_usage_hours"].samples
    }
    assert hours[("kernel", "research")] == pytest.approx(3)
    assert hours[("workspace", "")] == pytest.approx(1)
    assert families["perijove_usage_cost"].type == "counter"
    assert {s.labels["kind"] for s in families["perijove_running"].samples} >= {"workspace"}
    assert families["perijove_gpus"].samples[0].value == 0
    with api.client(None, token=token) as bare:
        for path in ("/usage", "/gpus", "/jobs", "/whoami"):
            assert bare.get(path).status_code == 403, path


def test_only_administrators_read_figures_besides(api: Api) -> None:
    assert scrape(api, api.hub.token("admin")).status_code == 200
    assert scrape(api, api.hub.token("ada")).status_code == 403
    assert scrape(api, None).status_code == 401
    reach = ["access:services!service=mlflow", "custom:perijove:read"]
    assert scrape(api, api.hub.token("admin", scopes=reach)).status_code == 403

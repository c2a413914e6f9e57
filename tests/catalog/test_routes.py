"""The catalog's endpoints: what each person sees, and what does not exist for them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pyarrow as pa
import pytest

from perijove_hub.catalog.duty import CrawlDuty
from perijove_hub.settings import SourceSettings
from tests.fixtures.api import Api

ARROW = {"Accept": "application/vnd.apache.arrow.stream"}


@pytest.fixture
def catalog(api: Api, sqlite_source: SourceSettings, files_source: SourceSettings) -> Api:
    """``shop`` and ``lake`` for research, ``open`` for everyone, ``closed`` for nobody."""
    api.context.settings.catalog.sources.update(
        shop=sqlite_source,
        lake=files_source,
        open=sqlite_source.model_copy(update={"groups": ["*"]}),
        closed=sqlite_source.model_copy(update={"groups": []}),
    )
    CrawlDuty(api.context).tick()
    return api


@pytest.fixture
def ada(catalog: Api) -> Iterator[httpx.Client]:
    with catalog.client("ada") as client:
        yield client


@pytest.fixture
def grace(catalog: Api) -> Iterator[httpx.Client]:
    with catalog.client("grace") as client:
        yield client


def test_people_see_the_sources_of_their_groups(ada, grace, catalog):
    assert [s["name"] for s in ada.get("/sources").json()["items"]] == ["lake", "open", "shop"]
    assert [s["name"] for s in grace.get("/sources").json()["items"]] == ["open"]
    with catalog.client("admin") as admin:
        assert "closed" in [s["name"] for s in admin.get("/sources").json()["items"]]
    shop = ada.get("/sources").json()["items"][2]
    assert (shop["kind"], shop["state"], shop["datasets"]) == ("sqlite", "ready", 3)
    assert "sqlite:" not in ada.get("/sources").text


def test_a_stranger_sees_nothing(catalog):
    with catalog.client(None) as stranger:
        for path in ("/sources", "/datasets", "/datasets/open.main.orders"):
            assert stranger.get(path).status_code == 401
        assert stranger.post("/sources/open/query", json={"sql": "select 1"}).status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/datasets/shop.main.orders", None),
        ("GET", "/datasets/shop.main.orders/preview", None),
        ("GET", "/datasets?source=shop", None),
        ("POST", "/sources/shop/query", {"sql": "select 1"}),
        ("POST", "/sources/shop/crawl", None),
    ],
)
def test_a_source_of_another_group_does_not_exist(grace, ada, method, path, body):
    refused = grace.request(method, path, json=body)
    unknown = grace.request(method, path.replace("shop", "nowhere"), json=body)
    assert (refused.status_code, unknown.status_code) == (404, 404)
    assert refused.json()["detail"] == unknown.json()["detail"].replace("nowhere", "shop")
    assert ada.request(method, path, json=body).is_success


def test_another_groups_tables_are_in_no_list(grace):
    assert {d["source"] for d in grace.get("/datasets").json()["items"]} == {"open"}
    assert {d["source"] for d in grace.get("/datasets?q=orders").json()["items"]} == {"open"}


def test_a_token_needs_the_verb(catalog):
    scopes = ["custom:perijove:read", "access:services!service=perijove"]
    with catalog.client("ada", token=catalog.hub.token("ada", scopes=scopes)) as reader:
        assert reader.get("/datasets").is_success
        assert reader.post("/sources/shop/query", json={"sql": "select 1"}).status_code == 403
        assert reader.get("/datasets/shop.main.orders/preview").status_code == 403


def test_words_find_tables_by_their_names_and_columns(ada):
    def found(words: str) -> list[str]:
        page = ada.get("/datasets", params={"q": words, "source": "shop"}).json()
        return [item["name"] for item in page["items"]]

    assert found("ORDER") == ["shop.main.orders"]
    assert found("customer") == ["shop.main.by_customer", "shop.main.orders"]
    assert found("customer price") == ["shop.main.orders"]
    assert found("100%") == []
    assert found("_") == ["shop.main.by_customer"]


def test_lists_page(ada):
    names, cursor = [], None
    while True:
        page = ada.get(
            "/datasets", params={"limit": 2, "cursor": cursor} if cursor else {"limit": 2}
        )
        names += [item["name"] for item in page.json()["items"]]
        if (cursor := page.json()["next_cursor"]) is None:
            break
    assert names == sorted(names)
    assert len(names) == len(set(names)) == 12


def test_every_dataset_has_a_page_a_preview_and_a_snippet_that_runs(ada):
    for item in ada.get("/datasets").json()["items"]:
        path = f"/datasets/{quote(item['name'], safe='')}"
        dataset = ada.get(path).json()
        assert len(dataset["columns"]) == item["column_count"] > 0
        preview = ada.get(f"{path}/preview").json()
        assert [c["name"] for c in preview["columns"]] == [c["name"] for c in dataset["columns"]]
        assert len(preview["rows"]) == item["row_count"]
        first, statement = dataset["snippet"].split("\n", 1)
        assert first == f"%%sql {item['source']} --out df"
        answer = ada.post(f"/sources/{item['source']}/query", json={"sql": statement})
        assert answer.json()["rows"] == preview["rows"]


def test_the_snippet_quotes_as_the_source_wants_it(ada):
    name = quote("shop.main.odd~2Etable ~22x~22", safe="")
    assert ada.get(f"/datasets/{name}").json()["snippet"] == (
        '%%sql shop --out df\nselect * from "odd.table ""x""" limit 1000'
    )


def test_a_preview_says_whether_there_is_more(ada):
    preview = ada.get("/datasets/shop.main.orders/preview?limit=2").json()
    assert (len(preview["rows"]), preview["truncated"]) == (2, True)
    assert not ada.get("/datasets/shop.main.orders/preview?limit=3").json()["truncated"]


def test_rows_come_as_arrow_when_asked_for(ada):
    body = {"sql": "select id, price from orders order by id", "limit": 2}
    answer = ada.post("/sources/shop/query", json=body, headers=ARROW)
    assert answer.headers["content-type"] == ARROW["Accept"]
    table = pa.ipc.open_stream(answer.content).read_all()
    assert table.to_pydict() == {"id": [1, 2], "price": [9.5, None]}
    assert table.schema.metadata == {b"perijove.truncated": b"true"}


def test_a_wrong_statement_is_a_problem_with_its_field(ada):
    answer = ada.post("/sources/shop/query", json={"sql": "select :who"})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["field"] == "parameters.who"
    answer = ada.post("/sources/shop/query", json={"sql": "select nope"}, headers=ARROW)
    assert (answer.status_code, answer.json()["detail"]) == (422, "no such column: nope")


def test_a_crawl_can_be_asked_for(ada, catalog, sqlite_source):
    assert ada.post("/sources/shop/crawl").status_code == 202
    Path(str(sqlite_source.url).removeprefix("sqlite:///")).unlink()
    CrawlDuty(catalog.context).tick()
    shop = next(s for s in ada.get("/sources").json()["items"] if s["name"] == "shop")
    assert (shop["state"], shop["error"]) == ("failed", "unable to open database file")


def test_a_new_source_is_pending_until_the_worker_has_looked(ada, catalog, sqlite_source):
    catalog.context.settings.catalog.sources["new"] = sqlite_source
    sources = {s["name"]: s for s in ada.get("/sources").json()["items"]}
    assert (sources["new"]["state"], sources["new"]["crawled_at"]) == ("pending", None)
    assert ada.post("/sources/new/crawl").status_code == 202
    rows = ada.post("/sources/new/query", json={"sql": "select count(*) from orders"}).json()[
        "rows"
    ]
    assert rows == [[3]]

"""``perijove data`` says what the magics say."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from perijove_hub.catalog.duty import CrawlDuty
from perijove_hub.cli.main import cli
from perijove_hub.settings import SourceSettings
from tests.fixtures.api import Api


@pytest.fixture(autouse=True)
def ada(api: Api, sqlite_source: SourceSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    api.context.settings.catalog.sources["shop"] = sqlite_source
    CrawlDuty(api.context).tick()
    monkeypatch.setenv("PERIJOVE_URL", api.url.removesuffix("/api/v1"))
    monkeypatch.setenv("PERIJOVE_TOKEN", api.hub.token("ada"))


def data(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["data", *arguments])


def test_tables_are_found_shown_and_read():
    assert data("search", "customer", "price").output == (
        "dataset           rows  columns\nshop.main.orders  3     4\n"
    )
    assert "shop    sqlite  ready  3" in data("sources").output
    shown = data("show", "shop.main.orders").output
    assert "customer  text" in shown
    assert '%%sql shop --out df\nselect * from "orders" limit 1000' in shown
    sql = "select id, price from orders where customer = :who order by id"
    assert data("query", "shop", sql, "--param", "who=grace").output == "id  price\n2\n"


def test_json_is_what_programs_read():
    assert json.loads(data("search", "--json").output)[0]["name"] == "shop.main.by_customer"
    assert json.loads(data("sources", "--json").output)[0]["state"] == "ready"
    assert json.loads(data("show", "shop.main.orders", "--json").output)["row_count"] == 3
    answer = json.loads(
        data("query", "shop", "select id from orders", "--limit", "1", "--json").output
    )
    assert answer == {"rows": [{"id": 1}], "truncated": True}


def test_mistakes_are_one_line_and_a_status():
    for arguments, said in (
        (["show", "shop.main.nope"], "There is no dataset 'shop.main.nope'"),
        (["query", "shpo", "select 1"], "Did you mean 'shop'?"),
        (["query", "shop", "delete from orders"], "Only statements that read are allowed here."),
        (["query", "shop", "select 1", "--param", "x"], "'x' is not NAME=VALUE."),
    ):
        result = data(*arguments)
        assert result.exit_code != 0
        assert said in result.output
        assert "Traceback" not in result.output

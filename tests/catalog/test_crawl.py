"""Crawls keep what is known of sources true, and never lose it to a failure."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import select

from perijove_hub.catalog.duty import CrawlDuty, look
from perijove_hub.context import Context
from perijove_hub.settings import SourceSettings
from perijove_hub.store.models import ColumnRow, DatasetRow, SourceRow, utcnow


def names(context: Context) -> list[str]:
    with context.database.reading() as session:
        return list(session.scalars(select(DatasetRow.name).order_by(DatasetRow.name)))


def source(context: Context, name: str) -> SourceRow:
    with context.database.reading() as session:
        row = session.get(SourceRow, name)
    assert row is not None
    return row


def request(context: Context, name: str) -> None:
    with context.database.session() as session:
        session.get_one(SourceRow, name).crawl_requested_at = utcnow()


@pytest.fixture
def shop(context: Context, sqlite_source: SourceSettings) -> Iterator[Context]:
    context.settings.catalog.sources["shop"] = sqlite_source
    yield context


def test_tables_views_and_columns_are_found_with_types_and_counts(shop):
    CrawlDuty(shop).tick()
    assert names(shop) == [
        "shop.main.by_customer",
        "shop.main.odd~2Etable ~22x~22",
        "shop.main.orders",
    ]
    with shop.database.reading() as session:
        orders = session.get_one(DatasetRow, "shop.main.orders")
        view = session.get_one(DatasetRow, "shop.main.by_customer")
        assert (orders.row_count, orders.kind, view.kind, view.row_count) == (3, "table", "view", 2)
        assert [(c.name, c.type) for c in orders.columns] == [
            ("id", "integer"),
            ("customer", "text"),
            ("price", "real"),
            ("note", "blob"),
        ]
    row = source(shop, "shop")
    assert (row.state, row.error, row.kind, row.groups) == ("ready", None, "sqlite", ["research"])


def test_postgresql_gives_schemas_and_comments(context, postgres_source):
    context.settings.catalog.sources["events"] = postgres_source
    CrawlDuty(context).tick()
    assert names(context) == ["events.other.names", "events.public.events"]
    with context.database.reading() as session:
        events = session.get_one(DatasetRow, "events.public.events")
        assert events.comment == "What happened"
        assert events.columns[1].comment == "Its name"
        assert not events.columns[1].nullable


def test_a_folder_gives_one_name_to_each_file_and_follows_no_link_out(context, files_source):
    context.settings.catalog.sources["lake"] = files_source
    CrawlDuty(context).tick()
    assert names(context) == [
        "lake.2024.sales",
        "lake.main.a*[b]",
        "lake.main.both~2Ecsv",
        "lake.main.both~2Eparquet",
        "lake.main.wine",
        "lake.~2E~2Fmain.wine",
    ]
    row = source(context, "lake")
    assert row.state == "ready"
    assert row.error is not None
    assert "broken.parquet" in row.error
    assert str(files_source.path) not in row.error


def test_a_source_that_fails_keeps_what_was_known_and_says_why(shop, sqlite_source):
    duty = CrawlDuty(shop)
    duty.tick()
    before = names(shop)
    crawled_at = source(shop, "shop").crawled_at
    Path(str(sqlite_source.url).removeprefix("sqlite:///")).unlink()
    request(shop, "shop")
    duty.tick()
    row = source(shop, "shop")
    assert (row.state, row.crawled_at, row.crawl_requested_at) == ("failed", crawled_at, None)
    assert row.error == "unable to open database file"
    assert names(shop) == before


def test_no_error_repeats_a_password(postgres_url):
    for url in (
        postgres_url.replace("hunter2", "wrongpass"),
        "postgresql://u:wrongpass@127.0.0.1:1/x",
        "mysql+nodriver://u:wrongpass@127.0.0.1/x",
        "nodialect://u:wrongpass@127.0.0.1/x",
        "not a url wrongpass",
    ):
        error = look(SourceSettings(url=url)).error
        assert error
        assert "wrongpass" not in error


def test_a_crawl_happens_at_start_when_asked_and_when_it_is_time(shop, sqlite_source):
    path = str(sqlite_source.url).removeprefix("sqlite:///")
    duty = CrawlDuty(shop)
    duty.tick()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("create table later (x)")
    duty.tick()
    assert "shop.main.later" not in names(shop)
    request(shop, "shop")
    duty.tick()
    assert "shop.main.later" in names(shop)
    assert source(shop, "shop").crawl_requested_at is None

    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("drop table later")
    CrawlDuty(shop).tick()
    assert "shop.main.later" not in names(shop)


def test_a_source_no_longer_in_the_settings_vanishes_with_its_content(shop):
    CrawlDuty(shop).tick()
    del shop.settings.catalog.sources["shop"]
    CrawlDuty(shop).tick()
    with shop.database.reading() as session:
        assert session.scalars(select(SourceRow)).all() == []
        assert session.scalars(select(ColumnRow)).all() == []


def test_a_broken_source_does_not_keep_the_others_from_being_crawled(shop):
    shop.settings.catalog.sources["aaa"] = SourceSettings(path="/nowhere/at/all")
    CrawlDuty(shop).tick()
    assert source(shop, "aaa").error == "Its folder does not exist. Mend 'path' in the settings."
    assert names(shop)


def test_wide_and_long_files_are_kept_within_what_the_store_holds(context, tmp_path):
    long = "x" * 300
    pq.write_table(pa.table({long: [1]}), tmp_path / "wide.parquet")
    context.settings.catalog.sources["lake"] = SourceSettings(path=str(tmp_path))
    CrawlDuty(context).tick()
    with context.database.reading() as session:
        (column,) = session.get_one(DatasetRow, "lake.main.wide").columns
    assert column.name == "x" * 255

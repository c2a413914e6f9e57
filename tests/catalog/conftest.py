"""Sources of every kind, with known content."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from perijove.types.catalog import Query, Table
from perijove_hub.catalog.query import run_query
from perijove_hub.settings import SourceSettings
from tests.fixtures.postgres import postgres

Ask = Callable[..., Table]


def ask(source: SourceSettings, sql: str, *, limit: int = 100, **parameters: Any) -> Table:
    """Run a query and return its rows as the wire has them."""
    query = Query(sql=sql, parameters=parameters, limit=limit)
    return run_query("source", source, query).as_wire()


@pytest.fixture
def sqlite_source(tmp_path: Path) -> SourceSettings:
    """Two tables and a view."""
    path = tmp_path / "shop.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(
            '''
            create table orders (id integer primary key, customer text, price real, note blob);
            insert into orders values
                (1, 'ada', 9.5, x'00ff'), (2, 'grace', null, null),
                (9007199254740993, 'ada', 1, null);
            create table "odd.table ""x""" (n integer);
            create view by_customer as select customer, sum(price) total from orders group by 1;
            '''
        )
    return SourceSettings(url=f"sqlite:///{path}", groups=["research"], timeout_s=2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of files, with links that lead out of it."""
    root = tmp_path / "lake"
    (root / "2024").mkdir(parents=True)
    (root / "main").mkdir()
    (root / "wine.csv").write_text("id,name,sold\n1,red,2024-01-02\n2,white,2025-03-04\n")
    (root / "main" / "wine.csv").write_text("id\n7\n")
    pq.write_table(pa.table({"amount": [1.5, 2.5, None]}), root / "2024" / "sales.parquet")
    (root / "both.csv").write_text("a\n1\n")
    pq.write_table(pa.table({"a": [2]}), root / "both.parquet")
    (root / "a*[b].csv").write_text("star\n1\n")
    (root / "broken.parquet").write_bytes(b"not parquet")
    (root / "notes.txt").write_text("not data")
    (root / ".hidden.csv").write_text("secret\n1\n")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.csv").write_text("password\nhunter2\n")
    (root / "leak.csv").symlink_to(tmp_path / "outside" / "secret.csv")
    (root / "leaks").symlink_to(tmp_path / "outside")
    return root


@pytest.fixture
def files_source(folder: Path) -> SourceSettings:
    return SourceSettings(path=str(folder), groups=["research"], timeout_s=2)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with postgres() as url:
        with psycopg.connect(url) as connection:
            connection.execute(
                """
                create table events (
                    id bigint primary key, name text not null, at timestamptz, day date,
                    price numeric(12, 2), tags text[], body jsonb, key uuid, raw bytea
                );
                comment on table events is 'What happened';
                comment on column events.name is 'Its name';
                insert into events values
                  (1, 'start 100%', '2024-05-06 07:08:09+00', '2024-05-06', 12.34, '{a,b}',
                   '{"a": {"b": 1}}', '00000000-0000-0000-0000-000000000001', '\\x00ff'),
                  (2, 'stop', null, null, null, null, '[1, 2]', null, null);
                create schema other;
                create view other.names as select name from events;
                """
            )
        yield url


@pytest.fixture
def postgres_source(postgres_url: str) -> SourceSettings:
    return SourceSettings(url=postgres_url, groups=["research"], timeout_s=2)

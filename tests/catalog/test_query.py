"""Queries read and cannot do anything else, whatever the engine."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from perijove_hub.exceptions import Invalid, Unavailable
from perijove_hub.settings import SourceSettings
from tests.catalog.conftest import ask
from tests.fixtures.postgres import PASSWORD

COUNT_FOREVER = (
    "with recursive c(x) as (select 1 union all select x + 1 from c) select count(*) from c"
)


def refusal(source: SourceSettings, sql: str, **parameters: object) -> str:
    with pytest.raises(Invalid) as error:
        ask(source, sql, **parameters)
    return error.value.detail


# --- parameters -----------------------------------------------------------------------


def test_values_are_bound_and_never_pasted(sqlite_source, files_source, postgres_source):
    evil = "x' or '1' = '1"
    assert ask(sqlite_source, "select * from orders where customer = :who", who=evil).rows == []
    assert ask(files_source, "select * from wine where name = :who", who=evil).rows == []
    assert ask(postgres_source, "select * from events where name = :who", who=evil).rows == []


def test_colons_in_strings_comments_names_and_casts_are_no_placeholders(postgres_source):
    sql = """select ':a', "name" as ":b", 1::text /* :c */, $$:d$$, E'\\':e', :real::int -- :f
             from events where id = 1"""
    assert ask(postgres_source, sql, real=5).rows == [
        [":a", "start 100%", "1", ":d", "':e", 5],
    ]


def test_a_parameter_that_is_missing_or_too_many_is_named(sqlite_source):
    with pytest.raises(Invalid) as error:
        ask(sqlite_source, "select :customer", custmer="ada")
    assert error.value.field == "parameters.customer"
    assert error.value.fix == "Did you mean 'custmer'?"
    with pytest.raises(Invalid) as error:
        ask(sqlite_source, "select 1", customer="ada")
    assert error.value.field == "parameters.customer"
    assert "has no :customer" in error.value.detail


def test_a_parameter_no_database_takes_is_named(sqlite_source):
    with pytest.raises(Invalid) as error:
        ask(sqlite_source, "select :a", a={"b": 1})
    assert error.value.field == "parameters.a"


def test_a_list_is_bound_where_the_database_has_lists(postgres_source, files_source):
    sql = "select id from events where id = any(:ids)"
    assert ask(postgres_source, sql, ids=[2, 9]).rows == [[2]]
    sql = "select id from wine where id in (select unnest(:ids))"
    assert ask(files_source, sql, ids=[2, 9]).rows == [[2]]


# --- values ---------------------------------------------------------------------------


def test_values_without_a_json_type_are_text_and_lose_nothing(postgres_source):
    table = ask(postgres_source, "select * from events order by id")
    assert table.rows[0] == [
        1,
        "start 100%",
        "2024-05-06T07:08:09+00:00",
        "2024-05-06",
        "12.34",
        ["a", "b"],
        '{"a": {"b": 1}}',
        "00000000-0000-0000-0000-000000000001",
        "00ff",
    ]
    assert table.rows[1][2:6] == [None, None, None, None]


def test_numbers_json_cannot_hold_are_text(sqlite_source, files_source):
    table = ask(sqlite_source, "select id, 9e999, -9e999 from orders order by id desc limit 1")
    assert table.rows == [["9007199254740993", "inf", "-inf"]]
    assert ask(files_source, "select 'nan'::double n").rows == [["nan"]]


def test_a_column_of_mixed_types_becomes_text(sqlite_source):
    sql = "select 1 as v union all select 'x' union all select null"
    assert ask(sqlite_source, sql).rows == [["1"], ["x"], [None]]


def test_nested_values_keep_their_shape(files_source):
    sql = "select {'a': 1} s, [1, 2] l, map {'k': 1} m, date '2024-01-02' d, 1.50::decimal(4, 2) n"
    assert ask(files_source, sql).rows == [[{"a": 1}, [1, 2], [["k", 1]], "2024-01-02", "1.50"]]


def test_sums_of_whole_numbers_are_whole_numbers(files_source):
    table = ask(files_source, "select sum(id) as total from wine")
    assert (table.columns[0].type, table.rows) == ("int64", [[3]])


def test_a_result_without_rows_still_has_columns(sqlite_source, files_source, postgres_source):
    for source in (sqlite_source, files_source, postgres_source):
        table = ask(source, "select 1 as one where 1 = 0")
        assert ([c.name for c in table.columns], table.rows) == (["one"], [])


# --- limits ---------------------------------------------------------------------------


def test_more_rows_than_asked_for_are_left_and_said_so(
    sqlite_source, files_source, postgres_source
):
    for source, sql in (
        (sqlite_source, "select id from orders"),
        (files_source, "select * from range(1000000)"),
        (postgres_source, "select generate_series(1, 1000000000)"),
    ):
        table = ask(source, sql, limit=2)
        assert (len(table.rows), table.truncated) == (2, True)
    assert not ask(sqlite_source, "select id from orders", limit=3).truncated


def test_a_source_has_a_limit_of_its_own(sqlite_source):
    small = sqlite_source.model_copy(update={"row_limit": 1})
    assert len(ask(small, "select * from orders", limit=100).rows) == 1


@pytest.mark.parametrize(
    ("kind", "sql"),
    [
        ("sqlite_source", COUNT_FOREVER),
        ("files_source", "select count(*) from range(100000000000) a, range(100000)"),
        ("postgres_source", "select pg_sleep(60)"),
        ("postgres_source", "select set_config('statement_timeout', '0', false), pg_sleep(60)"),
    ],
)
def test_a_slow_query_is_stopped_and_not_only_abandoned(request, kind, sql):
    source = request.getfixturevalue(kind).model_copy(update={"timeout_s": 0.5})
    began = time.monotonic()
    assert refusal(source, sql) == "The query was stopped after 0.5 s."
    assert time.monotonic() - began < 10


def test_a_stopped_query_no_longer_runs_on_the_server(postgres_source):
    source = postgres_source.model_copy(update={"timeout_s": 0.5})
    refusal(source, "select pg_sleep(60) /* still here */")
    sql = "select count(*) from pg_stat_activity where state = 'active' and query like '%' || :w"
    assert ask(postgres_source, sql, w="still here */").rows == [[0]]


# --- reading only ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "sql",
    [
        "insert into orders (id) values (4)",
        "delete from orders",
        "drop table orders",
        "create temp table t as select 1",
        "attach 'other.sqlite' as other",
        "pragma writable_schema = 1",
        "pragma query_only = 0",
        "select * from pragma_table_info('orders')",
        "select load_extension('x')",
        "begin",
        "vacuum into '/tmp/copy.sqlite'",
        "with x as (select 1) insert into orders (id) select 4",
    ],
)
def test_sqlite_itself_refuses_all_but_reading(sqlite_source, sql):
    assert refusal(sqlite_source, sql) == "Only statements that read are allowed here."


def test_sqlite_cannot_be_made_to_build_a_huge_value(sqlite_source):
    assert "too big" in refusal(sqlite_source, "select hex(zeroblob(500000000))")


@pytest.mark.parametrize(
    "sql",
    [
        "insert into events (id, name) values (3, 'x')",
        "with gone as (delete from events returning *) select * from gone",
        "select * from events for update",
        "commit",
        "set transaction read write",
        "select set_config('transaction_read_only', 'off', false)",
        "do $$ begin execute 'create table made (x int)'; end $$",
        "create table made as select 1",
        "copy events to '/tmp/perijove-copied.csv'",
        "copy (select 1) to program 'touch /tmp/perijove-copied.csv'",
        "explain analyze delete from events",
        "call pg_catalog.lo_unlink(1)",
        "select nextval('counter')",
    ],
)
def test_postgresql_itself_refuses_all_but_reading(postgres_source, postgres_url, sql):
    with psycopg.connect(postgres_url) as connection:
        connection.execute("create sequence if not exists counter")
    refusal(postgres_source, sql)
    assert not Path("/tmp/perijove-copied.csv").exists()
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("select count(*) from events").fetchone() == (2,)
        assert connection.execute("select to_regclass('made')").fetchone() == (None,)


@pytest.mark.parametrize(
    "sql",
    [
        "copy wine to 'stolen.csv'",
        "copy wine to '{root}/wine.csv'",
        "create table t as select 1",
        "attach 'x.duckdb'",
        "install httpfs",
        "set lock_configuration = false",
        "set enable_external_access = true",
        "select * from read_text('/etc/hostname')",
        "select * from read_csv('{root}/leak.csv')",
        "select * from '{root}/leaks/secret.csv'",
        "select * from read_csv('{root}/both.csv')",
        "select * from glob('{root}/*')",
        "select * from leak",
        "select * from source",
        "explain analyze copy wine to '{root}/wine.csv'",
        "export database '{root}/x'",
        "call pragma_version()",
    ],
)
def test_a_folder_gives_its_own_files_and_nothing_else(files_source, folder, sql):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    said = refusal(files_source, sql.replace("{root}", str(folder)))
    assert "hunter2" not in said
    assert str(folder) not in said
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_variables_of_the_control_plane_are_no_tables(files_source):
    import pyarrow as pa

    settings = pa.table({"secret": ["hunter2"]})
    assert "no table 'settings'" in refusal(files_source, "select * from settings")
    assert settings.num_rows == 1


@pytest.mark.parametrize("kind", ["sqlite_source", "files_source", "postgres_source"])
def test_there_is_one_statement_at_a_time(request, kind):
    source = request.getfixturevalue(kind)
    assert refusal(source, "select 1; select 2") == "There is more than one statement."
    assert ask(source, "select ';' as a; -- the end;\n").rows == [[";"]]


def test_another_dialect_is_read_in_a_transaction_that_is_rolled_back(sqlite_source):
    from sqlalchemy import make_url

    from perijove_hub.catalog.server import ServerConnector
    from perijove_hub.catalog.statement import Statement

    server = ServerConnector(make_url(sqlite_source.url))
    rows = server.run(
        Statement("select ':x', id from orders where id = :id", {"id": 1}), limit=5, timeout_s=5
    )
    assert rows.as_wire().rows == [[":x", 1]]
    with pytest.raises(Invalid, match="Only a SELECT is allowed here, not 'delete'"):
        server.run(Statement("delete from orders", {}), limit=5, timeout_s=5)
    with pytest.raises(Invalid, match="not 'delete'"):
        server.run(Statement("with x as (select 1) delete from orders", {}), limit=5, timeout_s=5)
    assert ask(sqlite_source, "select count(*) from orders").rows == [[3]]


# --- failures -------------------------------------------------------------------------


def test_the_databases_own_message_comes_back(sqlite_source, files_source, postgres_source):
    assert refusal(sqlite_source, "select nope from orders") == "no such column: nope"
    assert 'relation "nope" does not exist' in refusal(postgres_source, "select * from nope")
    assert refusal(files_source, "select * from wines") == (
        "There is no table 'wines' here. Did you mean 'wine'?"
    )


def test_a_source_that_does_not_answer_tells_nothing_about_where_it_is(postgres_url, tmp_path):
    wrong = SourceSettings(url=postgres_url.replace("hunter2", "wrongpass"))
    gone = SourceSettings(url=f"sqlite:///{tmp_path}/gone.sqlite")
    for source in (wrong, gone, SourceSettings(path=str(tmp_path / "gone"))):
        with pytest.raises(Unavailable) as error:
            ask(source, "select 1")
        told = f"{error.value.detail} {error.value.fix}"
        assert str(tmp_path) not in told
        assert "127.0.0.1" not in told
        assert "wrongpass" not in told
        assert PASSWORD not in told


def test_a_database_in_use_is_read_beside_its_writer(sqlite_source):
    path = str(sqlite_source.url).removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("pragma journal_mode = wal")
        writer.execute("insert into orders (id) values (10)")
        assert ask(sqlite_source, "select count(*) from orders").rows == [[3]]
        writer.commit()
        assert ask(sqlite_source, "select count(*) from orders").rows == [[4]]

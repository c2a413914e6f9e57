"""Whatever is sent, the answer says what is wrong, and it is never our own failure."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.routing import Route

from perijove_hub.api.problems import LastResort
from tests.fixtures.api import Api, served
from tests.fixtures.processes import free_port

NOTEBOOK = {
    "nbformat": 4,
    "nbformat_minor": 5,
    "metadata": {},
    "cells": [
        {
            "cell_type": "code",
            "id": "p",
            "metadata": {"tags": ["parameters"]},
            "source": "C: float = 0.5\nn: int = 3",
            "outputs": [],
            "execution_count": None,
        }
    ],
}


def job(client: httpx.Client, name: str = "tutorial") -> str:
    answer = client.post("/jobs", json={"name": name, "notebook": NOTEBOOK})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def cursor(key: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode()


NOBODYS_CURSORS = [
    "x",
    "é",
    "\0",
    base64.urlsafe_b64encode(b"[" * 700).decode(),
    *map(
        cursor,
        [
            5,
            [1],
            [1, 2],
            [[1], [2]],
            [None, None],
            [10**30, "a"],
            [True, False],
            {"a": 1, "b": 2},
            ["\ud800", "a"],
            [{"t": 5}, "a"],
            [{"t": "nonsense"}, "a"],
            [{"t": "0001-01-01T00:00:00+14:00"}, "a"],
            ["a\0", "b"],
        ],
    ),
]
LISTS = ["/jobs?sort=name", "/jobs?sort=created_at", "/datasets", "/deployments", "/models"]


@pytest.mark.parametrize(
    "path", [*LISTS, "/experiments", "/jobs/{job}/versions", "/jobs/{job}/runs"]
)
def test_a_cursor_that_no_list_gave_is_refused(api: Api, path: str) -> None:
    with api.client("ada") as ada:
        there = path.format(job=job(ada))
        for given in NOBODYS_CURSORS:
            answer = ada.get(there, params={**httpx.URL(there).params, "cursor": given})
            assert (answer.status_code, answer.json()["field"]) == (422, "cursor"), given


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/jobs/{job}/runs", '{"parameters": {"\\ud800": 1}}', None),
        ("/jobs/{job}/runs", '{"parameters": {"C": "\\uD800"}}', None),
        ("/jobs/{job}/runs", '{"version": 100000000000000000000000}', "version"),
        ("/jobs/{job}/runs", "[" * 100_000, None),
        ("/jobs/{job}/runs", "{", None),
        ("/jobs/{job}/runs", '{"parameters": {"n": 1%s}}' % ("0" * 5000), None),
        ("/deployments", '{"model": "m", "version": 100000000000000000000000}', "version"),
        ("/deployments", '{"model": "m", "version": 1, "group": "\\udfff"}', None),
        ("/sources/demo/query", '{"sql": "select :x", "parameters": {"x": "\\ud800"}}', None),
    ],
)
def test_what_no_database_could_hold_is_refused(
    api: Api, path: str, body: str, field: str | None
) -> None:
    with api.client("ada") as ada:
        answer = ada.post(
            path.format(job=job(ada)),
            content=body,
            headers={"Content-Type": "application/json"},
        )
    assert answer.status_code == 422, answer.text
    assert answer.json().get("field") == field


def test_emoji_are_text(api: Api) -> None:
    with api.client("ada") as ada:
        answer = ada.post(
            f"/jobs/{job(ada)}/runs",
            content='{"parameters": {"\\ud83d\\ude00": 1}}',
            headers={"Content-Type": "application/json"},
        )
    assert answer.json()["detail"].startswith("There is no parameter '😀'")


def test_a_stranger_is_told_so_before_anything_is_read(api: Api) -> None:
    with api.client(None) as stranger:
        answer = stranger.post("/jobs", content=b"{" * 1_000_000)
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("body", "field", "detail", "fix"),
    [
        ({"name": "A b"}, "name", "'name' cannot be 'A b'.", "lower-case letters"),
        ({}, "name", "'name' is missing.", ""),
        ({"name": "a", "nmae": 1}, "nmae", "There is no field 'nmae'.", ""),
        ({"name": "a", "visibility": "all"}, "visibility", "not 'all'.", ""),
        ({"name": "a", "resources": {"timeout_s": 0}}, "resources.timeout_s", "not 0.", ""),
    ],
)
def test_a_refusal_names_the_field_and_the_value(
    api: Api, body: dict[str, Any], field: str, detail: str, fix: str
) -> None:
    with api.client("ada") as ada:
        problem = ada.post("/jobs", json={"notebook": NOTEBOOK, **body}).json()
    assert problem["field"] == field
    assert detail in problem["detail"]
    assert fix in problem.get("fix", "")


def test_an_address_that_is_none_says_where_the_addresses_are(api: Api) -> None:
    with api.client("ada") as ada:
        problem = ada.get("/jbos").json()
    assert (problem["status"], problem["title"]) == (404, "Not Found")
    assert "openapi.json" in problem["fix"]


def test_a_key_used_for_one_job_does_not_answer_for_another(api: Api) -> None:
    with api.client("ada") as ada:
        first, second = job(ada, "first"), job(ada, "second")
        key = {"Idempotency-Key": "again"}
        run = ada.post(f"/jobs/{first}/runs", json={}, headers=key).json()
        same = ada.post(f"/jobs/{first}/runs", json={}, headers=key).json()
        other = ada.post(f"/jobs/{second}/runs", json={}, headers=key)
    assert same["id"] == run["id"]
    assert (other.status_code, other.json()["field"]) == (409, "Idempotency-Key")


def test_a_failure_of_ours_leaves_the_connection_open() -> None:
    async def fail(request: Request) -> None:
        raise RuntimeError("nobody foresaw this")

    port = free_port()
    app = Starlette(routes=[Route("/", fail)], middleware=[Middleware(LastResort)])
    with served(app, port), httpx.Client(trust_env=False) as client:
        answers = [client.get(f"http://127.0.0.1:{port}/") for _ in range(2)]
        streams = {id(answer.extensions["network_stream"]) for answer in answers}
    assert [answer.status_code for answer in answers] == [500, 500]
    assert len(streams) == 1
    assert "nobody foresaw" not in answers[0].text

from __future__ import annotations

import pytest

from perijove.server.upstream import BadPathError, Upstream, safe_path, safe_query


@pytest.mark.parametrize(
    "raw",
    [
        "..",
        "a/..",
        "a/./b",
        "%2e%2e",
        "a/..%2fb",
        "..%5ca",
        "%252e%252e",
        "",
        "a//b",
        "a/",
        "a%0d%0ab",
    ],
)
def test_a_path_that_could_leave_its_folder_is_refused(raw: str) -> None:
    with pytest.raises(BadPathError):
        safe_path(raw)


def test_a_path_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(ValueError):
        safe_path("%ff")


@pytest.mark.parametrize(
    "raw", ["jobs", "runs/r1/notebook.html", "datasets/a.b.c%20%25d..e", "new%0Aline%09.txt"]
)
def test_an_ordinary_path_stays_as_it_is(raw: str) -> None:
    assert safe_path(raw) == raw


def test_a_query_loses_only_the_servers_own_credentials() -> None:
    assert safe_query("q=a%26b&token=t&_xsrf=x&cursor=&q=c") == "q=a%26b&cursor=&q=c"


def test_the_environment_says_where_and_who() -> None:
    upstream = Upstream.from_environment(
        {"PERIJOVE_URL": "http://hub/services/perijove/", "JUPYTERHUB_API_TOKEN": "t"}
    )
    assert upstream.url == "http://hub/services/perijove"
    assert upstream.missing is None
    assert Upstream.from_environment({"PERIJOVE_URL": "http://hub"}).missing == "PERIJOVE_TOKEN"
    assert Upstream.from_environment({}).missing == "PERIJOVE_URL"

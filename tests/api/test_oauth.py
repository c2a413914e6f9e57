"""Browsers log in at the Hub and come back; nothing in between can be turned against them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from perijove_hub.api.oauth import SESSION_S, BrowserSessions, safe_next
from perijove_hub.context import Context
from tests.fixtures.api import Api

PREFIX = "/services/perijove"


class Browser:
    """A person's browser: cookies, and addresses that the proxy would bring to their part."""

    def __init__(self, api: Api) -> None:
        self.hub = api.hub.api_url.removesuffix("/hub/api")
        self.api = api.url.partition(PREFIX)[0]
        self.public = api.context.topology.public_url
        self.http = httpx.Client(trust_env=False, timeout=30, headers={"Accept": "text/html"})

    def get(self, path: str, **more: str) -> httpx.Response:
        base = self.hub if path.startswith("/hub") else self.api
        return self.http.get(base + path, headers=more)

    def follow(self, answer: httpx.Response) -> httpx.Response:
        while answer.is_redirect:
            answer = self.get(answer.headers["location"])
        return answer

    def log_in(self, user: str) -> None:
        self.get("/hub/login")
        xsrf = self.http.cookies.get("_xsrf", path="/hub/")
        form = {"username": user, "password": "x", "_xsrf": xsrf or ""}
        answer = self.http.post(f"{self.hub}/hub/login", data=form)
        assert answer.status_code == 302, answer.text


@pytest.fixture
def browser(api: Api) -> Iterator[Browser]:
    browser = Browser(api)
    with browser.http:
        yield browser


def test_a_person_logs_in_at_the_hub_and_lands_where_they_wanted(browser: Browser) -> None:
    browser.log_in("ada")
    answer = browser.follow(browser.get(f"{PREFIX}/api/v1/whoami?x=1"))
    assert answer.status_code == 200, answer.text
    assert answer.json()["name"] == "ada"
    assert answer.request.url.query == b"x=1"


def test_no_token_stands_in_an_address_or_a_readable_cookie(browser: Browser) -> None:
    browser.log_in("ada")
    answer = browser.get(f"{PREFIX}/api/v1/whoami")
    seen = []
    while answer.is_redirect:
        seen.append(answer.headers["location"])
        answer = browser.get(answer.headers["location"])
    cookie = browser.http.cookies.get("perijove-session-perijove")
    assert cookie is not None
    assert not re.search("token=", " ".join(seen))
    tokens = [
        cookie
        for cookie in browser.http.cookies.jar
        if cookie.path == f"{PREFIX}/" and re.fullmatch(r"[A-Za-z0-9]{20,60}", cookie.value or "")
    ]
    assert tokens == []


def test_cookies_are_out_of_reach_of_scripts_and_other_parts(browser: Browser) -> None:
    answer = browser.get(f"{PREFIX}/api/v1/whoami")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert f"Path={PREFIX}/" in cookie
    assert answer.headers["cache-control"] == "no-store"


def test_a_script_of_another_page_reads_nothing_in_a_persons_name(browser: Browser) -> None:
    # Every workspace serves pages of this origin, and what is in them is its user's.
    browser.log_in("ada")
    opened = browser.follow(browser.get(f"{PREFIX}/api/v1/whoami"))
    assert opened.status_code == 200
    for mode in ("cors", "same-origin", "no-cors", "websocket"):
        answer = browser.get(f"{PREFIX}/api/v1/whoami", **{"Sec-Fetch-Mode": mode})
        assert answer.status_code == 403, mode
        assert "ada" not in answer.text
    # Nor does a page that opens this one in a window, where there is no frame to refuse.
    for path in ("/api/v1/whoami", "/admin", "/api/health"):
        answer = browser.get(PREFIX + path, **{"Sec-Fetch-Mode": "navigate"})
        policy = answer.headers["content-security-policy"].split("; ")
        assert "default-src 'none'" in policy
        assert any(one == "sandbox" or one == "sandbox allow-forms" for one in policy)


def test_programs_are_answered_401_instead_of_being_sent_to_a_login(browser: Browser) -> None:
    for headers in ({"Accept": "*/*"}, {"Sec-Fetch-Mode": "cors"}, {"Authorization": "Bearer x"}):
        answer = browser.get(f"{PREFIX}/api/v1/whoami", **headers)
        assert answer.status_code == 401, headers


def test_a_login_begun_elsewhere_is_not_finished_here(browser: Browser) -> None:
    browser.log_in("ada")
    to_hub = browser.get(f"{PREFIX}/login").headers["location"]
    back = browser.get(to_hub).headers["location"]
    stranger = httpx.Client(trust_env=False)
    with stranger:
        answer = stranger.get(browser.api + back)
    assert answer.status_code == 422
    assert "set-cookie" not in answer.headers


def test_a_code_serves_once_and_only_with_its_state(browser: Browser) -> None:
    browser.log_in("ada")
    back = browser.get(browser.get(f"{PREFIX}/login").headers["location"]).headers["location"]
    other = browser.get(f"{PREFIX}/login").headers["location"]
    state = parse_qs(urlsplit(other).query)["state"][0]
    code = parse_qs(urlsplit(back).query)["code"][0]
    # The verifier of the other login does not fit this code.
    crossed = browser.get(f"{PREFIX}/oauth_callback?code={code}&state={state}")
    assert crossed.status_code == 403


def test_a_refusal_at_the_hub_ends_in_a_plain_answer(browser: Browser) -> None:
    to_hub = browser.get(f"{PREFIX}/login").headers["location"]
    state = parse_qs(urlsplit(to_hub).query)["state"][0]
    answer = browser.get(f"{PREFIX}/oauth_callback?error=access_denied&state={state}")
    assert answer.status_code == 403


def test_logging_out_needs_our_own_page_and_ends_the_session(browser: Browser) -> None:
    browser.log_in("ada")
    browser.follow(browser.get(f"{PREFIX}/api/v1/whoami"))
    url = f"{browser.api}{PREFIX}/logout"
    assert browser.http.post(url, headers={"Origin": "http://elsewhere"}).status_code == 403
    assert browser.http.post(url).status_code == 403
    assert browser.http.post(url, headers={"Origin": browser.public}).status_code == 303
    assert browser.get(f"{PREFIX}/api/v1/whoami").status_code == 302


def test_a_cookie_of_another_service_or_purpose_is_worth_nothing(context: Context) -> None:
    one = BrowserSessions(context, "perijove", PREFIX)
    other = BrowserSessions(context, "mlflow", "/services/mlflow")
    sealed = one._seal({"token": "t"}, "session")
    assert one._open(sealed, "session", SESSION_S) == {"token": "t"}
    assert other._open(sealed, "session", SESSION_S) is None
    assert one._open(sealed, "login", SESSION_S) is None
    assert one._open(sealed[:-4] + "AAAA", "session", SESSION_S) is None
    assert one._open("é" * 20, "session", SESSION_S) is None
    assert one._open(sealed, "session", -1) is None


@pytest.mark.parametrize(
    "target",
    [
        "/services/perijove/",
        "/services/perijove/api/v1/runs/x?a=b&c=/d",
        "/services/perijove/a%20b",
        "/services/perijove/a#b",
    ],
)
def test_a_way_back_into_the_service_is_kept(target: str) -> None:
    assert safe_next(target, PREFIX) == target


@pytest.mark.parametrize(
    "target",
    [
        None,
        "",
        "/",
        "//evil.example/",
        "///evil.example",
        "https://evil.example/services/perijove/",
        "/services/perijove",
        "/services/perijove-evil/x",
        "/services/perijove//evil.example",
        "/services/perijove/../../user/eve/",
        "/services/perijove/%2e%2e/%2e%2e/user/eve/",
        "/services/perijove/..%2f..%2fuser/eve",
        "/services/perijove/.%2e/x",
        "/services/perijove/\\evil.example",
        "/services/perijove/%5cevil.example",
        "\\\\evil.example",
        "/services/perijove/\r\nSet-Cookie: a=b",
        "/services/perijove/%0d%0aSet-Cookie:a=b",
        "javascript:alert(1)",
        " /services/perijove/",
        "/services/perijove/" + "x" * 3000,
        "/services/perijove/é",
    ],
)
def test_a_way_out_is_replaced_by_the_start_page(target: str | None) -> None:
    assert safe_next(target, PREFIX) == f"{PREFIX}/"

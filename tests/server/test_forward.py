from __future__ import annotations

import httpx
import pytest

from tests.server.conftest import BROWSER_TOKEN, HUB_TOKEN, NOTEBOOK_POLICY, ControlPlane, Workspace


def test_a_request_arrives_with_the_users_token_and_without_the_browsers(
    workspace: Workspace, plane: ControlPlane
) -> None:
    with workspace.browser() as browser:
        answer = browser.get(
            "perijove/api/datasets",
            params={"q": "breast cancer", "token": BROWSER_TOKEN, "_xsrf": "x"},
            headers={"X-Forwarded-User": "root", "Accept": "application/json"},
        )
    assert answer.status_code == 200
    assert answer.json() == {"items": []}
    seen = plane.seen[-1]
    assert seen.target == "/services/perijove/api/v1/datasets?q=breast+cancer"
    assert seen.headers["authorization"] == f"Bearer {HUB_TOKEN}"
    assert "cookie" not in seen.headers
    assert "x-forwarded-user" not in seen.headers
    assert "x-xsrftoken" not in seen.headers
    assert BROWSER_TOKEN not in repr(seen)


def test_an_answer_carries_neither_cookies_nor_internal_headers(workspace: Workspace) -> None:
    with workspace.browser() as browser:
        answer = browser.get("perijove/api/jobs")
    assert "session=theirs" not in answer.headers.get("set-cookie", "")
    assert "x-internal" not in answer.headers
    assert answer.headers["etag"] == '"v1"'
    assert answer.headers["perijove-partial"] == "true"
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert HUB_TOKEN not in repr(answer.headers) + answer.text


def test_bodies_methods_and_idempotency_keys_pass_through(
    workspace: Workspace, plane: ControlPlane
) -> None:
    with workspace.browser() as browser:
        created = browser.post(
            "perijove/api/jobs", json={"name": "a"}, headers={"Idempotency-Key": "k1"}
        )
        assert created.status_code == 201
        assert plane.seen[-1].body == b'{"name":"a"}'
        assert plane.seen[-1].headers["idempotency-key"] == "k1"
        assert browser.patch("perijove/api/jobs/1", json={}).status_code == 200
        deleted = browser.delete("perijove/api/jobs/1")
    assert deleted.status_code == 204
    assert deleted.content == b""
    assert [seen.method for seen in plane.seen[-3:]] == ["POST", "PATCH", "DELETE"]


def test_a_problem_document_passes_unchanged(workspace: Workspace) -> None:
    with workspace.browser() as browser:
        answer = browser.get("perijove/api/jobs/forbidden")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["fix"] == "Look."
    assert "www-authenticate" not in answer.headers


def test_a_specification_is_read_and_a_mistake_named(workspace: Workspace) -> None:
    with workspace.browser() as browser:
        good = browser.post("perijove/image-spec", content='name = "geo"\napt = ["tree"]\n')
        assert (good.json()["base"], good.json()["apt"]) == ("cpu", ["tree"])
        for content, said, field in (
            ("name = ", "geo.toml is not valid TOML", None),
            ('name = "geo"\napt = ["--evil"]', "'apt.0' cannot be '--evil'", "apt.0"),
        ):
            wrong = browser.post("perijove/image-spec?name=geo.toml", content=content)
            assert wrong.status_code == 422
            assert said in wrong.json()["detail"]
            assert wrong.json().get("field") == field


def test_a_stranger_gets_nothing(workspace: Workspace, plane: ControlPlane) -> None:
    with workspace.stranger() as stranger:
        assert stranger.get("perijove/api/jobs").status_code == 403
        assert stranger.post("perijove/api/jobs", json={}).status_code == 403
        assert stranger.post("perijove/image-spec", content="").status_code == 403
    assert plane.seen == []


def test_a_write_without_the_xsrf_token_is_refused(
    workspace: Workspace, plane: ControlPlane
) -> None:
    with workspace.browser() as browser:
        del browser.headers["X-XSRFToken"]
        assert browser.post("perijove/api/jobs", json={}).status_code == 403
        assert browser.delete("perijove/api/jobs/1").status_code == 403
    assert plane.seen == []


@pytest.mark.parametrize(
    "rest",
    [
        "../internal",
        "jobs/../../internal",
        "%2e%2e/internal",
        "jobs/%2E%2e%2f%2e%2e/internal",
        "jobs/..%5cinternal",
        "jobs/%252e%252e/internal",
        "//elsewhere.example/x",
        "jobs//x",
        "jobs/a%00b",
        "jobs/a%0d%0aHost:%20x",
        "jobs/%ff",
        "",
    ],
)
def test_no_path_leaves_the_api(workspace: Workspace, plane: ControlPlane, rest: str) -> None:
    with workspace.browser() as browser:
        # httpx would tidy the path up before sending it.
        url = httpx.URL(workspace.url).copy_with(
            raw_path=b"/user/ada%40example.org/perijove/api/" + rest.encode()
        )
        answer = browser.get(url)
    assert answer.status_code == 404
    assert plane.seen == []


def test_names_keep_their_special_characters(workspace: Workspace, plane: ControlPlane) -> None:
    with workspace.browser() as browser:
        browser.get("perijove/api/datasets/demo.main.50%25%20of%20%C3%BC%3F%23")
    assert plane.seen[-1].target.endswith("/api/v1/datasets/demo.main.50%25%20of%20%C3%BC%3F%23")


def test_a_rendered_notebook_stays_in_its_sandbox_and_fits_only_our_own_frame(
    workspace: Workspace,
) -> None:
    with workspace.browser() as browser:
        answer = browser.get("perijove/api/runs/r1/notebook.html")
    assert answer.headers["content-type"] == "text/html"
    policies = answer.headers.get_list("content-security-policy")
    assert policies == [NOTEBOOK_POLICY, "frame-ancestors 'self'"]


def test_a_page_that_forgot_its_sandbox_gets_one(workspace: Workspace) -> None:
    with workspace.browser() as browser:
        answer = browser.get("perijove/api/careless.html")
    policies = answer.headers.get_list("content-security-policy")
    assert "sandbox" in policies
    assert "default-src 'none'" in policies


def test_the_first_bytes_arrive_before_the_last_are_made(
    workspace: Workspace, plane: ControlPlane
) -> None:
    with workspace.browser() as browser, browser.stream("GET", "perijove/api/slow") as answer:
        chunks = answer.iter_raw()
        assert next(chunks) == b"first"
        plane.release.set()
        assert b"".join(chunks) == b"after"


def test_a_half_answer_does_not_look_whole(workspace: Workspace) -> None:
    with workspace.browser() as browser, pytest.raises(httpx.RemoteProtocolError):
        browser.get("perijove/api/broken")


def test_the_token_does_not_follow_a_redirect(workspace: Workspace, plane: ControlPlane) -> None:
    with workspace.browser() as browser:
        answer = browser.get("perijove/api/elsewhere")
    assert answer.status_code == 502
    assert "location" not in answer.headers
    assert "PERIJOVE_URL" in answer.json()["fix"]
    assert len(plane.seen) == 1


def test_an_unreachable_control_plane_is_a_problem_with_a_fix(lost_workspace: Workspace) -> None:
    with lost_workspace.browser() as browser:
        answer = browser.get("perijove/api/jobs")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert "perijove status" in answer.json()["fix"]
    assert HUB_TOKEN not in answer.text
    assert HUB_TOKEN not in lost_workspace.log.read_text()


def test_a_server_outside_perijove_says_what_is_not_set(unconnected_workspace: Workspace) -> None:
    with unconnected_workspace.browser() as browser:
        answer = browser.get("perijove/api/jobs")
    assert answer.status_code == 503
    assert "PERIJOVE_URL" in answer.json()["detail"]
    assert answer.json()["fix"]


def test_reading_does_not_keep_an_idle_server_alive(workspace: Workspace) -> None:
    with workspace.browser() as browser:

        def last_activity() -> str:
            status: dict[str, str] = browser.get(
                "api/status", params={"no_track_activity": 1}
            ).json()
            return status["last_activity"]

        before = last_activity()
        browser.get("perijove/api/jobs")
        assert last_activity() == before
        browser.post("perijove/api/jobs", json={})
        assert last_activity() > before

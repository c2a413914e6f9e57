"""Nobody sees, changes or calls what is not theirs, by the API or by the gateway."""

from __future__ import annotations

import httpx
import pytest

from perijove_hub.access import scope
from perijove_hub.store.models import DeploymentRow
from tests.models.conftest import Serving

BODY = {"instances": [{"x": 0}]}

API_CALLS = [
    ("GET", "/models"),
    ("GET", "/deployments"),
    ("POST", "/deployments"),
    ("GET", "/deployments/theirs"),
    ("DELETE", "/deployments/theirs"),
    ("GET", "/deployments/theirs/logs"),
]
GATEWAY_CALLS = [
    ("GET", "/"),
    ("POST", "/theirs/invocations"),
    ("GET", "/theirs/ping"),
    ("GET", "/theirs/health"),
    ("GET", "/theirs/version"),
]


def deployed(serving: Serving, visibility: str, group: str | None = None) -> None:
    """Write a deployment of ada's as the service would; no replica is needed for its rights."""
    with serving.context.database.session() as session:
        session.add(
            DeploymentRow(
                name="theirs",
                owner="ada",
                model="slow",
                version=1,
                workspace="group-research",
                visibility=visibility,
                group=group,
            )
        )


def call(client: httpx.Client, method: str, path: str) -> httpx.Response:
    """Send a request with a body where there can be one."""
    body = {"model": "slow", "version": 1} if path == "/deployments" else BODY
    return client.request(method, path, json=body if method == "POST" else None)


@pytest.mark.parametrize(("method", "path"), API_CALLS)
def test_a_stranger_gets_401_from_every_endpoint(serving: Serving, method: str, path: str) -> None:
    deployed(serving, "everyone")
    for token in (None, "nobodys-token"):
        with serving.api.client(None, token=token) as client:
            answer = call(client, method, path)
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(("method", "path"), GATEWAY_CALLS)
def test_a_stranger_gets_401_from_the_gateway(serving: Serving, method: str, path: str) -> None:
    deployed(serving, "everyone")
    for token in (None, "nobodys-token"):
        with serving.as_user(None, token=token) as client:
            answer = call(client, method, path)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(("visibility", "group"), [("private", None), ("group", "research")])
def test_another_groups_user_cannot_tell_that_there_is_anything(
    serving: Serving, visibility: str, group: str | None
) -> None:
    deployed(serving, visibility, group)
    with serving.api.client("grace") as client:
        assert client.get("/deployments").json()["items"] == []
        for method, path in API_CALLS[3:]:
            answer = call(client, method, path)
            assert answer.status_code == 404, (method, path)
            assert answer.json() == call(
                client, method, path.replace("theirs", "nobody")
            ).json() | {"detail": "Nothing is deployed as 'theirs'."}
        assert client.get("/models").json()["items"] == []
        answer = client.post("/deployments", json={"model": "slow", "version": 1})
        assert answer.status_code == 404
    with serving.as_user("grace") as client:
        assert client.get("/").json() == []
        for method, path in GATEWAY_CALLS[1:]:
            answer = call(client, method, path)
            assert answer.status_code == 404, (method, path)
            assert "theirs" not in answer.json()["fix"]


def test_who_may_see_but_not_change_gets_403(serving: Serving) -> None:
    deployed(serving, "everyone")
    with serving.api.client("grace") as client:
        assert client.get("/deployments/theirs").status_code == 200
        assert client.delete("/deployments/theirs").status_code == 403
        # Its log may hold what other callers sent.
        assert client.get("/deployments/theirs/logs").status_code == 403


def test_a_name_taken_by_someone_else_is_a_conflict(serving: Serving) -> None:
    with serving.context.database.session() as session:
        session.add(
            DeploymentRow(name="slow", owner="grace", model="m", version=1, workspace="group-risk")
        )
    answer = serving.deploy("ada", "slow", name="slow")
    assert answer.status_code == 409
    assert answer.json()["fix"] == "Choose another name."
    assert "grace" not in answer.text


def test_a_token_needs_the_verb_and_the_service(serving: Serving) -> None:
    deployed(serving, "everyone")
    hub = serving.api.hub
    reads = hub.token("ada", scopes=["access:services!service=perijove", scope("read")])
    with serving.api.client("ada", token=reads) as client:
        assert client.get("/deployments").status_code == 200
        answer = client.delete("/deployments/theirs")
        assert answer.status_code == 403
        assert scope("deploy") in answer.json()["fix"]
    with serving.as_user(None, token=reads) as client:
        answer = client.post("/theirs/invocations", json=BODY)
        assert answer.status_code == 403
        assert "service=serve" in answer.json()["fix"]
    reaches = hub.token("ada", scopes=["access:services!service=serve", scope("read")])
    with serving.as_user(None, token=reaches) as client:
        answer = client.post("/theirs/invocations", json=BODY)
        assert answer.status_code == 403
        assert scope("predict") in answer.json()["fix"]


def test_a_cookie_is_no_identity_at_the_gateway(serving: Serving) -> None:
    deployed(serving, "everyone")
    token = serving.api.hub.token("ada")
    with serving.as_user(None) as client:
        answer = client.post(
            "/theirs/invocations", json=BODY, headers={"Cookie": f"service-serve={token}"}
        )
    assert answer.status_code == 401


def test_a_name_somebody_has_does_not_stop_the_next_from_deploying(serving: Serving) -> None:
    with serving.context.database.session() as session:
        session.add(
            DeploymentRow(
                name="slow", owner="grace", model="slow", version=1, workspace="group-risk"
            )
        )
    first = serving.deploy("ada", "slow")
    assert (first.status_code, first.json()["name"]) == (201, "slow-ada")
    again = serving.deploy("ada", "slow")
    assert (again.status_code, again.json()["name"]) == (200, "slow-ada")

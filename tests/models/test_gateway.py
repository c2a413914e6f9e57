"""The gateway: what it hands on, what it keeps to itself, and what it outlives."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from perijove_hub.context import Context
from perijove_hub.models.gateway import create_gateway
from perijove_hub.models.router import Routes
from perijove_hub.store import Database
from perijove_hub.store.models import DeploymentRow, ReplicaRow
from tests.fixtures.api import served
from tests.fixtures.processes import free_port, wait_until
from tests.models.conftest import Serving


@contextlib.contextmanager
def replica(serving: Serving, name: str, answer: Any) -> Iterator[int]:
    """Put a server of our own where a deployment's replica would be; yields its port."""
    port = free_port()
    app = Starlette(routes=[Route("/invocations", answer, methods=["POST"])])
    with serving.context.database.session() as session:
        session.add(
            DeploymentRow(
                name=name,
                owner="ada",
                model=name,
                version=7,
                workspace="group-research",
                state="ready",
            )
        )
        session.flush()
        session.add(
            ReplicaRow(
                workload=f"replica-{name}",
                deployment=name,
                generation=1,
                version=7,
                address=f"127.0.0.1:{port}",
                state="ready",
            )
        )
    with served(app, port):
        yield port


async def echo(request: Request) -> Response:
    """Answer with what was received."""
    body = await request.body()
    headers = {"Set-Cookie": "jupyterhub-session=stolen", "X-Own": "1"}
    received = {"headers": dict(request.headers), "size": len(body)}
    return Response(json.dumps(received), media_type="application/json", headers=headers)


def test_a_replica_sees_the_body_and_nothing_of_the_caller(serving: Serving) -> None:
    with replica(serving, "echo", echo), serving.as_user("ada") as client:
        answer = client.post(
            "/echo/invocations",
            content=b"{}",
            headers={"Cookie": "a=b", "X-Forwarded-For": "me", "Content-Type": "text/csv"},
        )
    assert answer.status_code == 200, answer.text
    received = answer.json()["headers"]
    assert set(received) <= {
        "host",
        "content-type",
        "content-length",
        "perijove-replica",
        "accept",
    }
    assert received["content-type"] == "text/csv"
    assert received["perijove-replica"] == "replica-echo"


def test_an_answer_brings_no_cookies_and_nothing_to_run(serving: Serving) -> None:
    with replica(serving, "echo", echo), serving.as_user("ada") as client:
        answer = client.post("/echo/invocations", content=b"{}")
    assert "set-cookie" not in answer.headers
    assert "x-own" not in answer.headers
    assert answer.headers["content-security-policy"] == "sandbox"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["perijove-model-version"] == "7"


def test_a_redirect_is_never_followed(serving: Serving) -> None:
    async def away(request: Request) -> Response:
        return RedirectResponse(serving.context.topology.hub_api_url, 307)

    with replica(serving, "away", away), serving.as_user("ada") as client:
        answer = client.post("/away/invocations", content=b"{}")
    assert answer.status_code == 502
    assert "location" not in answer.headers


def test_another_replica_on_the_same_port_is_not_taken_for_ours(serving: Serving) -> None:
    async def misdirected(request: Request) -> Response:
        return Response(status_code=421)

    with replica(serving, "gone", misdirected), serving.as_user("ada") as client:
        answer = client.post("/gone/invocations", content=b"{}")
    assert answer.status_code == 503
    assert answer.headers["retry-after"]


def test_a_large_answer_is_passed_on_piece_by_piece(serving: Serving) -> None:
    large = b"[" + b"0," * 4_000_000 + b"0]"

    async def flood(request: Request) -> Response:
        return Response(large, media_type="application/json")

    with replica(serving, "flood", flood), serving.as_user("ada") as client:
        answer = client.post("/flood/invocations", content=b"{}")
    assert answer.content == large


def test_more_than_32_mb_is_refused(serving: Serving) -> None:
    with replica(serving, "echo", echo), serving.as_user("ada") as client:
        allowed = client.post("/echo/invocations", content=b"x" * (32 * 2**20))
        refused = client.post("/echo/invocations", content=b"x" * (32 * 2**20 + 1))
        streamed = client.post("/echo/invocations", content=(b"x" * 2**20 for _ in range(33)))
    assert allowed.json()["size"] == 32 * 2**20
    assert refused.status_code == streamed.status_code == 413


def test_an_undeployed_name_gets_the_nearest_one(serving: Serving) -> None:
    with replica(serving, "breast-cancer", echo), serving.as_user("ada") as client:
        near = client.post("/breast-cancr/invocations", content=b"{}")
        far = client.post("/zzz/invocations", content=b"{}")
        listed = client.get("/")
    assert near.status_code == far.status_code == 404
    assert near.json()["fix"] == "Did you mean 'breast-cancer'?"
    assert far.json()["fix"] == "Deployments you may call: breast-cancer."
    assert [item["name"] for item in listed.json()] == ["breast-cancer"]


def test_a_dead_replica_is_503_with_the_reason(serving: Serving) -> None:
    with replica(serving, "echo", echo):
        pass
    with serving.context.database.session() as session:
        row = session.get_one(DeploymentRow, "echo")
        row.state, row.reason = "starting", "The replica ended with signal 9."
    with serving.as_user("ada") as client:
        wait_until(
            lambda: "signal 9" in client.post("/echo/invocations", content=b"{}").text,
            what="the reason",
        )
        answer = client.post("/echo/invocations", content=b"{}")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "2"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/echo/invocations", 405), ("POST", "/echo/shutdown", 404), ("GET", "/health", 200)],
)
def test_only_what_is_offered_answers(
    serving: Serving, method: str, path: str, status: int
) -> None:
    with replica(serving, "echo", echo), serving.as_user("ada") as client:
        assert client.request(method, path).status_code == status


async def test_routes_are_kept_while_the_database_is_away(serving: Serving) -> None:
    path = serving.context.data.root / "perijove.sqlite"
    database = Database(f"sqlite:///{path}")
    routes = Routes(database)
    with replica(serving, "echo", echo):
        await routes.refresh()
        assert await routes.get("echo")
        database.close()
        away = path.rename(path.with_suffix(".away"))
        try:
            path.mkdir()
            await routes.refresh()
            route = await routes.get("echo")
            assert route is not None
            assert route.address
        finally:
            path.rmdir()
            away.rename(path)
    database.close()


def test_who_was_seen_lately_goes_on_calling_while_the_hub_is_down(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def user(request: Request) -> Response:
        scopes = ["access:services!service=serve", "custom:perijove:predict"]
        body = {"name": "ada", "kind": "user", "groups": [], "admin": False, "scopes": scopes}
        return Response(json.dumps(body), media_type="application/json")

    monkeypatch.setattr("perijove_hub.identity.FRESH", 0.0)
    hub, port = free_port(), free_port()
    topology = replace(
        serving.context.topology, hub_api_url=f"http://127.0.0.1:{hub}/hub/api", gateway_port=port
    )
    context = Context(serving.context.settings, serving.context.data)
    context.__dict__["topology"] = topology
    url = f"{topology.gateway_url}/echo/invocations"
    seen, unseen = {"Authorization": "Bearer seen"}, {"Authorization": "Bearer unseen"}
    with replica(serving, "echo", echo), served(create_gateway(context), port):
        with served(Starlette(routes=[Route("/hub/api/user", user)]), hub):
            assert httpx.post(url, content=b"{}", headers=seen).status_code == 200
        assert httpx.post(url, content=b"{}", headers=seen).status_code == 200
        answer = httpx.post(url, content=b"{}", headers=unseen)
    context.database.close()
    assert answer.status_code == 503
    assert "The Hub does not answer" in answer.json()["detail"]


def test_a_slow_model_holds_up_nobody_else(serving: Serving) -> None:
    begun, free = threading.Event(), threading.Event()

    async def slow(request: Request) -> Response:
        begun.set()
        await asyncio.to_thread(free.wait, 60)
        return Response(b"{}", media_type="application/json")

    with (
        replica(serving, "slow", slow),
        replica(serving, "echo", echo),
        serving.as_user("ada") as client,
        ThreadPoolExecutor(1) as pool,
    ):
        waiting = pool.submit(client.post, "/slow/invocations", content=b"{}")
        assert begun.wait(60)
        assert client.post("/echo/invocations", content=b"{}").status_code == 200
        assert not waiting.done()
        free.set()
        assert waiting.result().status_code == 200

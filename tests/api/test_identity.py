"""Who is calling, and what their token lets them do."""

from __future__ import annotations

from tests.fixtures.api import Api
from tests.fixtures.hub import Hub


def test_a_hub_token_identifies_its_user_with_groups(api: Api) -> None:
    with api.client("ada") as ada:
        me = ada.get("/whoami").json()
    assert (me["name"], me["groups"], me["admin"]) == ("ada", ["research"], False)


def test_a_stranger_is_refused_with_a_problem_document(api: Api) -> None:
    with api.client(None) as stranger:
        answer = stranger.get("/whoami")
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["fix"]


def test_an_unknown_token_is_refused(api: Api) -> None:
    with api.client(None, token="0" * 32) as stranger:
        assert stranger.get("/whoami").status_code == 401


def test_a_token_without_the_verb_is_refused(api: Api, hub: Hub) -> None:
    token = hub.token("ada", scopes=["access:services!service=perijove"])
    with api.client("ada", token=token) as ada:
        answer = ada.get("/whoami")
    assert answer.status_code == 403
    assert "custom:perijove:read" in answer.json()["fix"]


def test_a_token_for_another_service_is_refused(api: Api, hub: Hub) -> None:
    token = hub.token("ada", scopes=["access:services!service=mlflow", "custom:perijove:read"])
    with api.client("ada", token=token) as ada:
        assert ada.get("/whoami").status_code == 403


def test_every_route_of_the_api_demands_a_verb(api: Api) -> None:
    from fastapi.routing import APIRoute

    from perijove_hub.api.app import create_app

    def names(dependant: object) -> set[str]:
        found = (
            {getattr(dependant, "call", None).__name__}
            if getattr(dependant, "call", None)
            else set()
        )
        for child in dependant.dependencies:
            found |= names(child)
        return found

    open_routes = [
        route.path
        for route in create_app(None).routes
        if isinstance(route, APIRoute)
        and not any(name.startswith("require_") for name in names(route.dependant))
    ]
    assert open_routes == ["/services/perijove/api/health"]

"""Deploying: what is asked for, refused, served, moved and undeployed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sklearn.datasets import load_breast_cancer

from tests.models.conftest import Serving

FRAME = load_breast_cancer(as_frame=True).data


def rows(count: int = 1) -> dict[str, Any]:
    """A request with the first rows of the data."""
    split = FRAME.head(count).to_dict(orient="split")
    return {"dataframe_split": {"columns": split["columns"], "data": split["data"]}}


def test_a_model_is_deployed_called_moved_to_its_next_version_and_undeployed(
    serving: Serving,
) -> None:
    answer = serving.deploy("ada", "breast-cancer", 1)
    assert answer.status_code == 201, answer.text
    deployment = answer.json()
    assert deployment["name"] == "breast-cancer"
    assert deployment["state"] == "starting"
    assert deployment["visibility"] == "private"
    assert deployment["url"].endswith("/services/serve/breast-cancer/invocations")
    assert len(deployment["inputs"]) == 30
    assert deployment["inputs"][0] == {"name": "mean radius", "type": "double", "required": True}
    name = serving.ready("ada", "breast-cancer", 1)
    with serving.as_user("ada") as client:
        answer = client.post(f"/{name}/invocations", json=deployment["input_example"])
        assert answer.status_code == 200, answer.text
        assert answer.json() == {"predictions": [0, 0]}
        assert client.get(f"/{name}/version").status_code == 200
        assert client.get(f"/{name}/health").status_code == 200
        first = only_replica(serving)

        answer = serving.deploy("ada", "breast-cancer", 2)
        assert answer.status_code == 200
        assert answer.json()["version"] == 2
        failures = []

        def moved() -> bool:
            answer = client.post(f"/{name}/invocations", json=rows())
            if answer.status_code != 200:
                failures.append(answer.text)
            return serving.show(name)["state"] == "ready" and only_replica(serving) != first

        serving.until(moved, what="the move to version 2")
        assert not failures, "callers never notice a move"

        with serving.api.client("ada") as api:
            [model] = [item for item in api.get("/models").json()["items"] if item["name"] == name]
            assert [version["deployed_as"] for version in model["versions"]] == [[name], []]
            answer = api.delete(f"/deployments/{name}")
            assert answer.status_code == 202
            assert answer.json()["state"] == "stopping"
        serving.until(lambda: not serving.show(name), what="undeployed")
        assert client.post(f"/{name}/invocations", json=rows()).status_code == 404
    assert serving.launcher.list() == []
    serving.duty.tick()
    assert list((serving.context.data.root / "models").iterdir()) == []


def only_replica(serving: Serving) -> str | None:
    """The name of the one workload there is, ``None`` for several."""
    names = [status.name for status in serving.launcher.list()]
    return names[0] if len(names) == 1 else None


def test_the_replica_has_no_credentials_in_its_environment(serving: Serving) -> None:
    serving.ready("ada", "slow")
    secrets = [path.read_text() for path in serving.context.data.secrets.iterdir()]
    seen = 0
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes()
            environment = (entry / "environ").read_text(errors="replace")
        except OSError:
            continue
        if b"perijove.replica" in command and str(serving.context.data.root).encode() in command:
            seen += 1
            assert not any(secret in environment for secret in secrets if len(secret) > 8)
            assert "TOKEN" not in environment
            assert "MLFLOW_TRACKING" not in environment
    assert seen


def test_the_same_key_makes_one_deployment(serving: Serving) -> None:
    body = {"model": "breast-cancer", "version": 1}
    with serving.api.client("ada") as client:
        first = client.post("/deployments", json=body, headers={"Idempotency-Key": "k"})
        again = client.post("/deployments", json=body, headers={"Idempotency-Key": "k"})
        other = client.post(
            "/deployments", json={**body, "version": 2}, headers={"Idempotency-Key": "k"}
        )
    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 409)


@pytest.mark.parametrize(
    ("body", "status", "field", "says"),
    [
        ({"model": "breast-cancr", "version": 1}, 404, "model", "Did you mean 'breast-cancer'?"),
        ({"model": "breast-cancer", "version": 9}, 404, "version", "Versions there are: 2, 1."),
        (
            {"model": "Unsigned Model", "version": 1},
            422,
            "version",
            "log_model(..., signature=infer_signature(X, y))",
        ),
        ({"model": "breast-cancer", "version": 0}, 422, "version", "greater than or equal to 1"),
        (
            {"model": "breast-cancer", "version": 1, "name": "No Caps"},
            422,
            "name",
            "lower-case letters",
        ),
        (
            {"model": "breast-cancer", "version": 1, "visibility": "group", "group": "risk"},
            422,
            "group",
            "research",
        ),
    ],
)
def test_what_cannot_be_deployed_is_refused_with_the_fix(
    serving: Serving, body: dict[str, Any], status: int, field: str, says: str
) -> None:
    with serving.api.client("ada") as client:
        answer = client.post("/deployments", json=body)
        assert client.get("/deployments").json()["items"] == []
    problem = answer.json()
    assert answer.status_code == status, problem
    assert problem["field"] == field
    assert says in problem["detail"] + problem.get("fix", "")


def test_a_moved_deployment_keeps_its_visibility(serving: Serving) -> None:
    serving.deploy("ada", "breast-cancer", 1, visibility="everyone")
    answer = serving.deploy("ada", "breast-cancer", 2)
    assert answer.json()["visibility"] == "everyone"


def test_a_derived_name_never_replaces_another_model(serving: Serving) -> None:
    assert serving.deploy("ada", "slow", name="raises").status_code == 201
    answer = serving.deploy("ada", "raises")
    assert answer.status_code == 409
    assert "Give a name" in answer.json()["fix"]


def test_a_version_that_does_not_load_leaves_the_old_one_serving(serving: Serving) -> None:
    name = serving.ready("ada", "moody", 1)
    serving.deploy("ada", "moody", 2)
    serving.until(lambda: serving.show(name)["state"] == "failed", what="version 2 failed")
    reason = serving.show(name)["reason"]
    assert "No module named 'sparkling'" in reason
    assert "Version 1 goes on answering" in reason
    with serving.as_user("ada") as client:
        answer = client.post(f"/{name}/invocations", json={"instances": [{"x": 0}]})
        assert answer.status_code == 200, answer.text
    with serving.api.client("ada") as client:
        log = client.get(f"/deployments/{name}/logs").json()
    assert "ModuleNotFoundError" in log["text"]


def test_what_never_was_ready_answers_503_with_the_reason(serving: Serving) -> None:
    serving.deploy("ada", "moody", 2)
    serving.until(lambda: serving.show("moody")["state"] == "failed", what="failed")
    with serving.as_user("ada") as client:
        answer = client.post("/moody/invocations", json={"instances": [{"x": 0}]})
    assert answer.status_code == 503
    assert "sparkling" in answer.json()["detail"]

"""What is grace's (group risk) stays unknown to ada (group research), by whatever id or path."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.fixtures.mlflow import Mlflow

API = "/api/2.0/mlflow"
FILES = "/api/2.0/mlflow-artifacts/artifacts"
SECRET = "only-risk-may-know"


@dataclass
class Owned:
    """Ids of what grace made."""

    experiment: str
    run: str
    logged_model: str
    artifacts: str
    """The run's folder in the artifact store."""
    model_files: str


@pytest.fixture(scope="module")
def ada(mlflow: Mlflow) -> Iterator[httpx.Client]:
    with mlflow.client("ada") as client:
        yield client


@pytest.fixture(scope="module")
def grace(mlflow: Mlflow) -> Iterator[httpx.Client]:
    with mlflow.client("grace") as client:
        yield client


def post(client: httpx.Client, call: str, **body: Any) -> dict[str, Any]:
    answer = client.post(f"{API}/{call}", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def path_of(uri: str) -> str:
    return uri.removeprefix("mlflow-artifacts:").lstrip("/")


@pytest.fixture(scope="module")
def owned(grace: httpx.Client) -> Owned:
    experiment = post(grace, "experiments/create", name=SECRET)["experiment_id"]
    run = post(grace, "runs/create", experiment_id=experiment, run_name=SECRET)["run"]["info"]
    post(grace, "runs/log-metric", run_id=run["run_id"], key=SECRET, value=1, timestamp=1)
    logged = post(grace, "logged-models", experiment_id=experiment, name=SECRET)["model"]["info"]
    artifacts, files = path_of(run["artifact_uri"]), path_of(logged["artifact_uri"])
    for path in (artifacts, files):
        assert grace.put(f"{FILES}/{path}/{SECRET}.txt", content=SECRET).status_code == 200
    finalize = {"model_id": logged["model_id"], "status": "LOGGED_MODEL_READY"}
    answer = grace.patch(f"{API}/logged-models/{logged['model_id']}", json=finalize)
    assert answer.status_code == 200, answer.text
    post(grace, "registered-models/create", name=SECRET)
    source = f"models:/{logged['model_id']}"
    post(grace, "model-versions/create", name=SECRET, source=source, model_id=logged["model_id"])
    post(grace, "registered-models/alias", name=SECRET, alias="prod", version="1")
    return Owned(experiment, run["run_id"], logged["model_id"], artifacts, files)


READS = [
    ("GET", "{api}/experiments/get?experiment_id={experiment}", None),
    ("GET", "{api}/experiments/get-by-name?experiment_name={secret}", None),
    ("POST", "{api}/experiments/search", {"max_results": 1000}),
    ("GET", "{api}/runs/get?run_id={run}", None),
    ("POST", "{api}/runs/search", {"experiment_ids": ["{experiment}"]}),
    ("GET", "{api}/metrics/get-history?run_id={run}&metric_key={secret}", None),
    ("GET", "/ajax-api/2.0/mlflow/metrics/get-history-bulk?run_id={run}&metric_key={secret}", None),
    (
        "GET",
        (
            "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval"
            "?run_ids={run}&metric_key={secret}&max_results=5"
        ),
        None,
    ),
    ("GET", "{api}/artifacts/list?run_id={run}", None),
    ("GET", "/get-artifact?run_uuid={run}&path={secret}.txt", None),
    ("GET", "{api}/registered-models/get?name={secret}", None),
    ("GET", "{api}/registered-models/search", None),
    ("GET", "{api}/registered-models/alias?name={secret}&alias=prod", None),
    ("POST", "{api}/registered-models/get-latest-versions", {"name": "{secret}"}),
    ("GET", "{api}/model-versions/get?name={secret}&version=1", None),
    ("GET", "{api}/model-versions/search?filter=name%3D'{secret}'", None),
    ("GET", "{api}/model-versions/get-download-uri?name={secret}&version=1", None),
    ("GET", "/model-versions/get-artifact?name={secret}&version=1&path={secret}.txt", None),
    ("GET", "{api}/logged-models/{logged_model}", None),
    ("POST", "{api}/logged-models/search", {"experiment_ids": ["{experiment}"]}),
    ("GET", "{api}/logged-models/{logged_model}/artifacts/directories", None),
    (
        "GET",
        (
            "/ajax-api/2.0/mlflow/logged-models/{logged_model}/artifacts/files"
            "?artifact_file_path={secret}.txt"
        ),
        None,
    ),
    ("GET", "{files}?path={artifacts}", None),
    ("GET", "{files}?path=workspaces", None),
    ("GET", "{files}?path=", None),
    ("GET", "{files}/{artifacts}/{secret}.txt", None),
    ("GET", "{files}/{model_files}/{secret}.txt", None),
    ("GET", "{files}/x/..%2F..%2F{artifacts}/{secret}.txt", None),
    ("GET", "{files}/x/%252e%252e/%252e%252e/{artifacts}/{secret}.txt", None),
    ("GET", "{files}/.%2F{artifacts}/{secret}.txt", None),
    ("GET", "{files}/%2F{artifacts}/{secret}.txt", None),
    ("GET", "{files}?path=../group-risk", None),
    ("GET", "{files}?path=%252e%252e/group-risk", None),
    (
        "POST",
        "/graphql",
        {"query": '{{mlflowGetRun(input:{{runId:"{run}"}}){{run{{info{{runName}}}}}}}}'},
    ),
    (
        "POST",
        "/graphql",
        {
            "query": '{{mlflowGetExperiment(input:{{experimentId:"{experiment}"}})'
            "{{experiment{{name}}}}}}"
        },
    ),
    (
        "POST",
        "/graphql",
        {
            "query": 'mutation{{mlflowSearchRuns(input:{{experimentIds:["{experiment}"]}})'
            "{{runs{{info{{runName}}}}}}}}"
        },
    ),
]

WRITES = [
    ("POST", "{api}/experiments/update", {"experiment_id": "{experiment}", "new_name": "taken"}),
    ("POST", "{api}/experiments/delete", {"experiment_id": "{experiment}"}),
    (
        "POST",
        "{api}/experiments/set-experiment-tag",
        {"experiment_id": "{experiment}", "key": "a", "value": "b"},
    ),
    ("POST", "{api}/runs/create", {"experiment_id": "{experiment}"}),
    ("POST", "{api}/runs/update", {"run_id": "{run}", "status": "KILLED"}),
    ("POST", "{api}/runs/delete", {"run_id": "{run}"}),
    ("POST", "{api}/runs/set-tag", {"run_id": "{run}", "key": "a", "value": "b"}),
    (
        "POST",
        "{api}/runs/log-metric",
        {"run_id": "{run}", "key": "a", "value": 1, "timestamp": 1},
    ),
    ("POST", "{api}/runs/log-parameter", {"run_id": "{run}", "key": "a", "value": "1"}),
    ("POST", "{api}/runs/log-batch", {"run_id": "{run}", "params": [{"key": "b", "value": "1"}]}),
    ("POST", "{api}/runs/outputs", {"run_id": "{run}", "models": [{"model_id": "m-1"}]}),
    ("POST", "/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path=x.txt", {"a": 1}),
    ("POST", "{api}/logged-models", {"experiment_id": "{experiment}", "name": "x"}),
    ("DELETE", "{api}/logged-models/{logged_model}", None),
    (
        "PATCH",
        "{api}/logged-models/{logged_model}/tags",
        {"model_id": "{logged_model}", "tags": [{"key": "a", "value": "b"}]},
    ),
    ("POST", "{api}/registered-models/rename", {"name": "{secret}", "new_name": "taken"}),
    ("DELETE", "{api}/registered-models/delete", {"name": "{secret}"}),
    (
        "POST",
        "{api}/registered-models/alias",
        {"name": "{secret}", "alias": "prod", "version": "1"},
    ),
    ("DELETE", "{api}/model-versions/delete", {"name": "{secret}", "version": "1"}),
    ("PUT", "{files}/{artifacts}/new.txt", {"a": 1}),
    ("DELETE", "{files}/{artifacts}", None),
]


def fill(template: Any, owned: Owned) -> Any:
    if isinstance(template, dict):
        return {key: fill(value, owned) for key, value in template.items()}
    if isinstance(template, list):
        return [fill(value, owned) for value in template]
    if not isinstance(template, str):
        return template
    return template.format(api=API, files=FILES, secret=SECRET, **vars(owned))


def send(
    client: httpx.Client, owned: Owned, request: tuple[str, str, Any], **more: Any
) -> httpx.Response:
    method, path, body = request
    return client.request(method, fill(path, owned), json=fill(body, owned), **more)


def name(request: tuple[str, str, Any]) -> str:
    return f"{request[0]} {request[1]}"


@pytest.mark.parametrize("request_", READS, ids=name)
def test_another_groups_things_cannot_be_read(
    ada: httpx.Client, owned: Owned, request_: tuple[str, str, Any]
) -> None:
    answer = send(ada, owned, request_)
    if answer.status_code == 200:
        # GraphQL says "not found" with 200, and with what was asked for.
        told = answer.text.replace(f"Run with id={owned.run} not found", "")
        assert SECRET not in told
        assert owned.run not in told
    else:
        assert answer.status_code in (400, 403, 404, 422), answer.text


@pytest.mark.parametrize("request_", WRITES, ids=name)
def test_another_groups_things_cannot_be_changed(
    ada: httpx.Client, grace: httpx.Client, owned: Owned, request_: tuple[str, str, Any]
) -> None:
    answer = send(ada, owned, request_)
    assert answer.status_code in (400, 403, 404), (answer.status_code, answer.text)
    run = grace.get(f"{API}/runs/get", params={"run_id": owned.run}).json()["run"]
    assert run["info"]["status"] == "RUNNING"
    assert run["info"]["lifecycle_stage"] == "active"
    assert grace.get(f"{FILES}/{owned.artifacts}/{SECRET}.txt").text == SECRET


@pytest.mark.parametrize("request_", READS[:4] + READS[-4:], ids=name)
def test_the_owner_does_read_them(
    grace: httpx.Client, owned: Owned, request_: tuple[str, str, Any]
) -> None:
    answer = send(grace, owned, request_)
    assert answer.status_code in (200, 422), answer.text
    if answer.status_code == 200:
        assert SECRET in answer.text


@pytest.mark.parametrize("workspace", ["group-risk", "user-grace", "default", "group-none", "../x"])
def test_a_workspace_header_does_not_open_a_foreign_workspace(
    ada: httpx.Client, owned: Owned, workspace: str
) -> None:
    answer = send(ada, owned, READS[3], headers={"X-MLFLOW-WORKSPACE": workspace})
    assert answer.status_code == 403
    assert owned.run not in answer.text


def test_two_workspace_headers_do_not_smuggle_one_in(ada: httpx.Client, owned: Owned) -> None:
    headers = [("X-MLFLOW-WORKSPACE", "group-research"), ("X-MLFLOW-WORKSPACE", "group-risk")]
    answer = ada.get(f"{API}/runs/get?run_id={owned.run}", headers=headers)
    assert answer.status_code in (403, 404)


def test_the_personal_workspace_is_separate_from_the_groups(ada: httpx.Client) -> None:
    personal = {"X-MLFLOW-WORKSPACE": "user-ada"}
    made = ada.post(f"{API}/experiments/create", json={"name": "mine"}, headers=personal)
    assert made.status_code == 200, made.text
    answer = ada.get(f"{API}/experiments/get-by-name?experiment_name=mine")
    assert answer.status_code == 404


def test_workspaces_are_listed_as_the_callers_and_cannot_be_managed(ada: httpx.Client) -> None:
    listed = ada.get("/ajax-api/3.0/mlflow/workspaces").json()["workspaces"]
    assert [workspace["name"] for workspace in listed] == ["group-research", "user-ada"]
    for method, path in [
        ("POST", "/api/3.0/mlflow/workspaces"),
        ("PATCH", "/api/3.0/mlflow/workspaces/group-research"),
        ("DELETE", "/api/3.0/mlflow/workspaces/group-research?mode=CASCADE"),
        ("GET", "/api/3.0/mlflow/workspaces/group-risk"),
    ]:
        assert ada.request(method, path, json={"name": "x"}).status_code in (404, 405), path


@pytest.mark.parametrize(
    "source",
    [
        "mlflow-artifacts:/{artifacts}",
        "mlflow-artifacts:/{model_files}",
        "mlflow-artifacts://elsewhere/{artifacts}",
        "models:/{logged_model}",
        "models:/{secret}/1",
        "runs:/{run}/model",
        "file:///etc",
        "/etc",
        "http://169.254.169.254/api/2.0/mlflow-artifacts/artifacts/x",
        "ftp://elsewhere/x",
        "s3://bucket/x",
    ],
)
def test_a_model_version_cannot_point_elsewhere(
    ada: httpx.Client, owned: Owned, source: str
) -> None:
    ada.post(f"{API}/registered-models/create", json={"name": "pointer"})
    for more in ({}, {"run_id": owned.run}, {"model_id": owned.logged_model}):
        body = {"name": "pointer", "source": fill(source, owned), **more}
        answer = ada.post(f"{API}/model-versions/create", json=body)
        assert answer.status_code >= 400, answer.text
    found = ada.get(f"{API}/model-versions/search?filter=name%3D'pointer'").json()
    assert not found.get("model_versions")


def test_an_experiment_cannot_keep_its_artifacts_elsewhere(ada: httpx.Client, owned: Owned) -> None:
    for location in ("file:///etc", f"mlflow-artifacts:/{owned.artifacts}"):
        body = {"name": f"at {location}", "artifact_location": location}
        assert ada.post(f"{API}/experiments/create", json=body).status_code == 400


def test_requests_of_two_groups_at_once_never_mix(
    ada: httpx.Client, grace: httpx.Client, owned: Owned
) -> None:
    def look(client: httpx.Client) -> bool:
        return SECRET in client.post(f"{API}/experiments/search", json={"max_results": 100}).text

    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(look, [ada, grace] * 30))
    assert seen == [False, True] * 30


def test_the_control_plane_reads_a_named_workspace_and_writes_none(
    mlflow: Mlflow, owned: Owned
) -> None:
    token = mlflow.context.data.secret("service-perijove")
    path = f"{FILES}/{owned.model_files}/{SECRET}.txt"
    with mlflow.client(None, token=token) as service:
        assert service.get(path).status_code == 422
        risk = {"X-MLFLOW-WORKSPACE": "group-risk"}
        assert service.get(path, headers=risk).text == SECRET
        assert service.put(path, content="x", headers=risk).status_code == 403
        other = {"X-MLFLOW-WORKSPACE": "group-research"}
        assert service.get(path, headers=other).status_code in (400, 404)


def test_other_services_are_not_let_in(mlflow: Mlflow) -> None:
    for name in ("service-serve", "service-mlflow", "service-cli"):
        with mlflow.client(None, token=mlflow.context.data.secret(name)) as service:
            assert service.get(f"{API}/runs/get?run_id=x").status_code == 403, name


def test_an_administrator_may_look_into_a_named_workspace(mlflow: Mlflow, owned: Owned) -> None:
    with mlflow.client("admin") as admin:
        path = f"{API}/runs/get?run_id={owned.run}"
        assert admin.get(path).status_code == 404
        assert admin.get(path, headers={"X-MLFLOW-WORKSPACE": "group-risk"}).status_code == 200
        assert admin.get(path, headers={"X-MLFLOW-WORKSPACE": "group-no"}).status_code == 404

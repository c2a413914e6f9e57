"""MLflow's front lets in who it should, and nothing that is not offered."""

from __future__ import annotations

import base64
import subprocess
import sys
from typing import Any

import httpx
import pytest

from tests.fixtures.hub import Hub
from tests.fixtures.mlflow import Mlflow

API = "/api/2.0/mlflow"
FAMILIES = [
    ("GET", "/"),
    ("GET", "/static-files/favicon.ico"),
    ("GET", "/version"),
    ("POST", "/api/2.0/mlflow/runs/create"),
    ("POST", "/ajax-api/2.0/mlflow/runs/search"),
    ("GET", "/api/3.0/mlflow/server-info"),
    ("GET", "/api/3.0/mlflow/workspaces"),
    ("POST", "/graphql"),
    ("GET", "/get-artifact?run_uuid=x&path=y"),
    ("GET", "/model-versions/get-artifact?name=x&version=1&path=y"),
    ("PUT", "/api/2.0/mlflow-artifacts/artifacts/x"),
    ("GET", "/no/such/thing"),
    ("OPTIONS", "/api/2.0/mlflow/runs/create"),
    ("GET", "/../perijove/api/v1/whoami"),
]
NOT_OFFERED = [
    ("POST", "/api/2.0/mlflow/webhooks"),
    ("GET", "/api/2.0/mlflow/webhooks"),
    ("POST", "/api/3.0/mlflow/gateway/secrets/create"),
    ("POST", "/gateway/mlflow/v1/chat/completions"),
    ("POST", "/gateway/proxy/x/y"),
    ("POST", "/ajax-api/2.0/mlflow/gateway-proxy"),
    ("POST", "/ajax-api/2.0/mlflow/runs/create-promptlab-run"),
    ("POST", "/api/3.0/mlflow/scorers/register"),
    ("POST", "/ajax-api/3.0/mlflow/scorer/invoke"),
    ("POST", "/ajax-api/3.0/mlflow/genai/evaluate/invoke"),
    ("POST", "/api/3.0/mlflow/prompt-optimization/jobs"),
    ("POST", "/ajax-api/3.0/jobs/"),
    ("POST", "/ajax-api/3.0/mlflow/assistant/message"),
    ("PUT", "/ajax-api/3.0/mlflow/assistant/config"),
    ("POST", "/ajax-api/3.0/mlflow/demo/generate"),
    ("POST", "/ajax-api/3.0/mlflow/ui-telemetry"),
    ("POST", "/v1/traces"),
    ("POST", "/api/3.0/mlflow/traces"),
    ("POST", "/api/2.0/mlflow/artifacts/presigned-upload-url"),
    ("GET", "/build/index.html"),
    ("GET", "/docs"),
    ("GET", "/openapi.json"),
    ("POST", "//api/2.0/mlflow/webhooks"),
    ("POST", "/api/2.0/mlflow/webhooks/"),
    ("DELETE", "/api/2.0/mlflow/runs/create"),
]


@pytest.mark.parametrize(("method", "path"), FAMILIES)
def test_a_stranger_reaches_nothing(mlflow: Mlflow, method: str, path: str) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic !"}):
        with mlflow.client(None, headers=headers) as stranger:
            answer = stranger.request(method, path)
        assert answer.status_code == 401, (headers, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(("method", "path"), NOT_OFFERED)
def test_what_runs_code_or_calls_out_is_not_there(mlflow: Mlflow, method: str, path: str) -> None:
    with mlflow.client("admin") as admin:
        answer = admin.request(method, path, json={})
    assert answer.status_code == 404
    assert answer.json()["error_code"] == "ENDPOINT_NOT_FOUND"


def test_websockets_are_closed(mlflow: Mlflow) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(b"0" * 16).decode(),
    }
    with mlflow.client("ada", headers=upgrade) as ada:
        assert ada.get("/").status_code == 403


def test_a_person_without_a_session_is_sent_to_the_hub(mlflow: Mlflow) -> None:
    public = mlflow.context.topology.public_url.partition("://")[2]
    headers = {"Accept": "text/html", "Host": public}
    with mlflow.client(None, headers=headers) as stranger:
        answer = stranger.get("/?x=1")
    assert answer.status_code == 302
    assert answer.headers["location"].startswith("/hub/api/oauth2/authorize?client_id=service-ml")


def test_a_link_past_the_proxy_leads_to_the_proxy(mlflow: Mlflow) -> None:
    with mlflow.client(None, headers={"Accept": "text/html"}) as stranger:
        answer = stranger.get("/?x=1")
    public = mlflow.context.topology.public_url
    assert answer.headers["location"] == f"{public}/services/mlflow/?x=1"


def test_the_start_page_opens_in_a_workspace_of_the_callers(mlflow: Mlflow) -> None:
    with mlflow.client("grace") as grace:
        page = grace.get("/")
    assert '<script>const own=["group-risk", "user-grace"]' in page.text
    assert 'src="static-files/' in page.text
    assert page.headers["cache-control"] == "no-store"


def test_the_health_check_needs_no_token_and_tells_nothing(mlflow: Mlflow) -> None:
    with mlflow.client(None) as stranger:
        assert stranger.get("/health").json() == {"status": "ok"}


def test_a_password_is_taken_for_a_token(mlflow: Mlflow, hub: Hub) -> None:
    auth = httpx.BasicAuth("whoever", hub.token("ada"))
    with mlflow.client(None, auth=auth) as ada:
        answer = ada.post(f"{API}/runs/create", json={"experiment_id": "0"})
    assert answer.json()["run"]["info"]["user_id"] == "ada"


@pytest.mark.parametrize(
    "scopes",
    [
        ["access:services!service=mlflow"],
        ["custom:perijove:read"],
        ["access:services!service=perijove", "custom:perijove:read"],
    ],
)
def test_a_token_without_the_scopes_is_refused(mlflow: Mlflow, hub: Hub, scopes: list[str]) -> None:
    with mlflow.client(None, token=hub.token("ada", scopes=scopes)) as ada:
        answer = ada.get(f"{API}/experiments/search?max_results=1")
    assert answer.status_code == 403
    assert answer.json()["error_code"] == "PERMISSION_DENIED"


@pytest.mark.parametrize(
    "claim",
    [
        {"user_id": "grace", "tags": [{"key": "mlflow.user", "value": "grace"}]},
        {"userId": "grace"},
        {},
    ],
)
def test_a_run_carries_the_callers_name_whatever_it_claims(
    mlflow: Mlflow, claim: dict[str, Any]
) -> None:
    for prefix in ("/api", "/ajax-api"):
        with mlflow.client("ada") as ada:
            body = {"experiment_id": "0", **claim}
            made = ada.post(f"{prefix}/2.0/mlflow/runs/create", json=body)
        assert made.status_code == 200, made.text
        run = made.json()["run"]
        assert run["info"]["user_id"] == "ada"
        tags = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
        assert tags["mlflow.user"] == "ada"


def test_a_body_that_hides_json_in_a_string_is_signed_too(mlflow: Mlflow) -> None:
    with mlflow.client("ada") as ada:
        hidden = '{"experiment_id": "0", "user_id": "grace"}'
        made = ada.post(f"{API}/runs/create", json=hidden)
    assert made.json()["run"]["info"]["user_id"] == "ada"


def test_a_logged_model_carries_the_callers_name(mlflow: Mlflow) -> None:
    with mlflow.client("ada") as ada:
        tags = [{"key": "mlflow.user", "value": "grace"}, {"key": "a", "value": "b"}]
        body = {"experiment_id": "0", "name": "m", "tags": tags}
        made = ada.post(f"{API}/logged-models", json=body).json()["model"]["info"]
        named = {tag["key"]: tag["value"] for tag in made["tags"]}
        assert named == {"mlflow.user": "ada", "a": "b"}
        path = f"{API}/logged-models/{made['model_id']}/tags"
        change = {"tags": [{"key": "mlflow.user", "value": "x"}]}
        assert ada.patch(path, json=change).status_code == 403
        assert ada.delete(f"{path}/mlflow.user").status_code == 403


@pytest.mark.parametrize(
    ("call", "body"),
    [
        ("set-tag", {"key": "mlflow.user", "value": "grace"}),
        ("set-tag", {"key": "mlflow.\u0075ser", "value": "grace"}),
        ("delete-tag", {"key": "mlflow.user"}),
        ("log-batch", {"tags": [{"key": "mlflow.user", "value": "grace"}]}),
    ],
)
def test_the_author_of_a_run_cannot_be_changed(
    mlflow: Mlflow, call: str, body: dict[str, Any]
) -> None:
    with mlflow.client("ada") as ada:
        made = ada.post(f"{API}/runs/create", json={"experiment_id": "0"})
        run = made.json()["run"]["info"]["run_id"]
        assert ada.post(f"{API}/runs/{call}", json={"run_id": run, **body}).status_code == 403
        tags = ada.get(f"{API}/runs/get?run_id={run}").json()["run"]["data"]["tags"]
    assert {"key": "mlflow.user", "value": "ada"} in tags


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"x"', b"[" * 100_000])
def test_a_body_that_is_no_object_is_refused_before_mlflow(mlflow: Mlflow, body: bytes) -> None:
    with mlflow.client("ada") as ada:
        answer = ada.post(f"{API}/runs/create", content=body)
    assert answer.status_code == 422, answer.text


def test_a_logged_page_cannot_act_as_one_of_ours(mlflow: Mlflow) -> None:
    with mlflow.client("ada") as ada:
        made = ada.post(f"{API}/runs/create", json={"experiment_id": "0"}).json()["run"]["info"]
        root = made["artifact_uri"].removeprefix("mlflow-artifacts:/")
        page = "<script>alert(1)</script>"
        store = "/api/2.0/mlflow-artifacts/artifacts"
        assert ada.put(f"{store}/{root}/a.html", content=page).status_code == 200
        for path in (
            f"{store}/{root}/a.html",
            f"/get-artifact?run_uuid={made['run_id']}&path=a.html",
        ):
            answer = ada.get(path)
            assert answer.text == page
            assert answer.headers["content-security-policy"].startswith("sandbox")
            assert answer.headers["content-disposition"].startswith("attachment")


def test_tokens_are_never_logged(mlflow: Mlflow, hub: Hub) -> None:
    token = hub.token("ada")
    with mlflow.client("ada", token=token) as ada:
        ada.get(f"{API}/runs/get?run_id=none")
        ada.get("/no/such/thing")
    assert token not in mlflow.log.read_text()


CLIENT = """
import mlflow, mlflow.sklearn, numpy
from sklearn.linear_model import LogisticRegression
with mlflow.start_run():
    mlflow.log_metric("loss", 1.0)
mlflow.set_experiment("by-client")
x = numpy.array([[0.0], [1.0], [2.0], [3.0]])
model = LogisticRegression().fit(x, [0, 0, 1, 1])
with mlflow.start_run() as run:
    info = mlflow.sklearn.log_model(
        model, name="model", registered_model_name="by-client", input_example=x[:1]
    )
mlflow.register_model(f"runs:/{run.info.run_id}/model", "by-client")
for version in (1, 2):
    print(mlflow.pyfunc.load_model(f"models:/by-client/{version}").predict(x).tolist())
print(mlflow.get_run(run.info.run_id).info.user_id)
"""


def test_mlflows_own_client_works_with_two_variables(mlflow: Mlflow, hub: Hub) -> None:
    env = {
        "PATH": "/usr/bin:/bin",
        "MLFLOW_TRACKING_URI": mlflow.url,
        "MLFLOW_TRACKING_TOKEN": hub.token("ada"),
        "HOME": str(mlflow.context.data.root),
    }
    done = subprocess.run(
        [sys.executable, "-c", CLIENT], env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if "http://" not in line]
    assert lines == ["[0, 0, 1, 1]", "[0, 0, 1, 1]", "ada"]

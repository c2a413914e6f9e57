"""The API's experiments are MLflow's, with the caller's own rights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from perijove_hub.api.app import API, create_app
from perijove_hub.cli.runs import runs as command
from perijove_hub.context import Context
from tests.fixtures.api import served
from tests.fixtures.hub import Hub
from tests.fixtures.mlflow import Mlflow
from tests.fixtures.processes import free_port


@pytest.fixture(scope="module")
def api(mlflow: Mlflow) -> Iterator[str]:
    """The API on MLflow's own data directory; its base URL."""
    path = mlflow.context.data.run / "topology.json"
    topology = replace(mlflow.context.topology, api_port=free_port())
    topology.save(path)
    context = Context(mlflow.context.settings, mlflow.context.data)
    try:
        with served(create_app(context), topology.api_port):
            yield f"http://127.0.0.1:{topology.api_port}{API}"
    finally:
        context.database.close()


@pytest.fixture(scope="module")
def runs(mlflow: Mlflow) -> list[str]:
    """Three runs of ada's experiment ``routes-é'x``, oldest first."""
    call = "/api/2.0/mlflow"
    made = []
    with mlflow.client("ada") as ada:
        body = {"name": "routes-é'x"}
        experiment = ada.post(f"{call}/experiments/create", json=body).json()["experiment_id"]
        for number in range(3):
            body = {"experiment_id": experiment, "run_name": f"r{number}", "start_time": number + 1}
            run = ada.post(f"{call}/runs/create", json=body).json()["run"]["info"]["run_id"]
            batch = {
                "run_id": run,
                "metrics": [{"key": "auc", "value": number / 2, "timestamp": 1, "step": 0}],
                "params": [{"key": "C", "value": str(number)}, {"key": "same", "value": "x"}],
            }
            assert ada.post(f"{call}/runs/log-batch", json=batch).status_code == 200
            made.append(run)
    return made


def client(api: str, hub: Hub, user: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {hub.token(user)}"}
    return httpx.Client(base_url=api, headers=headers, trust_env=False, timeout=30)


def test_experiments_are_found_by_part_of_their_name(api: str, hub: Hub, runs: list[str]) -> None:
    with client(api, hub, "ada") as ada:
        for words in ("ROUTES", "s-é", "é'x"):
            (found,) = ada.get("/experiments", params={"q": words}).json()["items"]
            assert (found["name"], found["runs"]) == ("routes-é'x", 3)
            assert found["last_run_at"] == "1970-01-01T00:00:00.003000Z"
        assert ada.get("/experiments", params={"q": "routes_"}).json()["items"] == []


def test_experiments_page(api: str, hub: Hub, runs: list[str]) -> None:
    with client(api, hub, "ada") as ada:
        whole = ada.get("/experiments").json()["items"]
        seen, cursor = [], None
        while True:
            page = ada.get(
                "/experiments",
                params={"limit": 1, "cursor": cursor or ""} if cursor else {"limit": 1},
            ).json()
            seen += page["items"]
            cursor = page["next_cursor"]
            if not cursor:
                break
    assert [item["id"] for item in seen] == [item["id"] for item in whole]


def test_runs_come_newest_first_in_pages(api: str, hub: Hub, runs: list[str]) -> None:
    with client(api, hub, "ada") as ada:
        (found,) = ada.get("/experiments", params={"q": "routes"}).json()["items"]
        path = f"/experiments/{found['id']}/runs"
        first = ada.get(path, params={"limit": 2}).json()
        last = ada.get(path, params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [run["name"] for run in first["items"] + last["items"]] == ["r2", "r1", "r0"]
    assert last["next_cursor"] is None
    newest = first["items"][0]
    assert newest["user"] == "ada"
    assert newest["state"] == "running"
    assert newest["metrics"] == {"auc": 1.0}
    assert newest["parameters"] == {"C": "2", "same": "x"}


def test_another_groups_experiments_are_not_there(api: str, hub: Hub, runs: list[str]) -> None:
    with client(api, hub, "ada") as ada:
        (found,) = ada.get("/experiments", params={"q": "routes"}).json()["items"]
    with client(api, hub, "grace") as grace:
        assert grace.get("/experiments", params={"q": "routes"}).json()["items"] == []
        assert grace.get(f"/experiments/{found['id']}/runs").status_code == 404
        assert grace.get(f"/tracked-runs/{runs[0]}").status_code == 404


def test_a_cursor_of_another_list_is_refused(api: str, hub: Hub) -> None:
    with client(api, hub, "ada") as ada:
        answer = ada.get("/experiments", params={"cursor": "nonsense"})
    assert answer.status_code == 422
    assert "cursor" in answer.json()["fix"]


def test_a_silent_mlflow_is_said_so(hub: Hub, tmp_path: Path, mlflow: Mlflow) -> None:
    from tests.fixtures.api import Api

    with Api.running(hub, tmp_path / "data") as alone, alone.client("ada") as ada:
        answer = ada.get("/experiments")
    assert answer.status_code == 503
    assert answer.json()["detail"] == "MLflow does not answer."


@pytest.fixture
def cli(api: str, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setenv("PERIJOVE_URL", api.removesuffix("/api/v1"))
    monkeypatch.setenv("PERIJOVE_TOKEN", hub.token("ada"))
    return CliRunner()


def test_the_command_line_lists_shows_and_compares(cli: CliRunner, runs: list[str]) -> None:
    assert "routes-é'x" in cli.invoke(command, ["list"]).output
    listed = cli.invoke(command, ["list", "routes-é'x"]).output
    assert all(run in listed for run in runs)
    assert "auc=0.5" in listed
    shown = json.loads(cli.invoke(command, ["show", runs[1], "--json"]).output)
    assert shown["parameters"] == {"C": "1", "same": "x"}
    compared = cli.invoke(command, ["compare", *runs]).output
    assert [line.split() for line in compared.splitlines()] == [
        ["r0", "r1", "r2"],
        ["metric", "auc", "0", "0.5", "1"],
        ["param", "C", "0", "1", "2"],
    ]


def test_an_unknown_experiment_is_answered_with_those_there_are(
    cli: CliRunner, runs: list[str]
) -> None:
    done = cli.invoke(command, ["list", "rutes"])
    assert "There is no experiment 'rutes'" in str(done.exception)
    assert "routes-é'x" in str(done.exception)

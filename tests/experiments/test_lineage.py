"""What a job's run read and recorded, and between which runs it stands."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest

from perijove_hub.api.app import API, create_app
from perijove_hub.context import Context
from perijove_hub.identity import issue_run_token
from perijove_hub.jobs import lineage
from perijove_hub.settings import SourceSettings
from perijove_hub.store.models import (
    DatasetRow,
    JobRow,
    RunRow,
    SourceRow,
    UpstreamRow,
    utcnow,
)
from tests.fixtures.api import served
from tests.fixtures.mlflow import Mlflow
from tests.fixtures.processes import free_port

CALL = "/api/2.0/mlflow"


@pytest.fixture(scope="module")
def api(mlflow: Mlflow) -> Iterator[str]:
    """The API on MLflow's data directory, with three runs in a chain; its base URL."""
    path = mlflow.context.data.run / "topology.json"
    topology = replace(mlflow.context.topology, api_port=free_port())
    topology.save(path)
    context = Context(mlflow.context.settings, mlflow.context.data)
    file = mlflow.context.data.root / "shop.sqlite"
    with sqlite3.connect(file) as database:
        for table in ("orders", "order_lines", "people"):
            database.execute(f"create table {table} (id int)")
    settings = context.settings.catalog.sources
    settings["shop"] = SourceSettings(url=f"sqlite:///{file}", groups=["research"])
    settings["shop.secret"] = SourceSettings(url=f"sqlite:///{file}", groups=["risk"])
    with context.database.session() as session:
        for name, owner in (("load", "ada"), ("train", "ada"), ("report", "ada"), ("other", "bob")):
            session.add(JobRow(id=name, name=name, owner=owner))
        session.flush()
        now = utcnow()
        made = {"owner": "ada", "requested_by": "ada", "version": 1, "state": "succeeded"}
        for at, (name, upstream) in enumerate(
            [("load", {}), ("train", {"load": "load-1"}), ("report", {"train": "train-1"})]
        ):
            when = now + timedelta(minutes=at)
            session.add(
                RunRow(
                    id=f"{name}-1", job_id=name, upstream=upstream, queued_at=when, ended_at=when,
                    trigger="after" if upstream else "manual", **made,
                )
            )  # fmt: skip
        secret = {**made, "owner": "bob", "requested_by": "bob", "trigger": "after"}
        session.add(
            RunRow(
                id="other-1", job_id="other", upstream={"train": "train-1"},
                queued_at=now + timedelta(minutes=5), **secret,
            )
        )  # fmt: skip
        for follower, upstream in (("train", "load"), ("report", "train"), ("other", "train")):
            session.add(UpstreamRow(job_id=follower, upstream_id=upstream))
        session.add(SourceRow(name="shop", kind="sqlite"))
        session.flush()
        for table in ("orders", "order_lines", "people"):
            row = {"source": "shop", "schema_name": "main", "table": table}
            session.add(DatasetRow(name=f"shop.main.{table}", **row))
    try:
        with served(create_app(context), topology.api_port):
            yield f"http://127.0.0.1:{topology.api_port}{API}"
    finally:
        context.database.close()


def of(api: str, mlflow: Mlflow, run: str, user: str = "ada") -> httpx.Response:
    headers = {"Authorization": f"Bearer {mlflow.hub.token(user)}"}
    return httpx.get(f"{api}/runs/{run}/lineage", headers=headers, trust_env=False, timeout=60)


def test_what_a_run_logged_and_the_model_it_made(api: str, mlflow: Mlflow) -> None:
    with mlflow.client("ada") as ada:
        body = {"name": "lineage"}
        experiment = ada.post(f"{CALL}/experiments/create", json=body).json()["experiment_id"]
        ids = {}
        for name, run in (("mine", "train-1"), ("not", "load-1")):
            body = {
                "experiment_id": experiment,
                "run_name": name,
                "tags": [{"key": "perijove.run", "value": run}],
            }
            made = ada.post(f"{CALL}/runs/create", json=body).json()["run"]["info"]
            ids[name] = made["run_id"]
        ada.post(f"{CALL}/registered-models/create", json={"name": "taste"})
        source = {"name": "taste", "source": f"{made['artifact_uri']}/m", "run_id": ids["mine"]}
        source["source"] = source["source"].replace(ids["not"], ids["mine"])
        version = ada.post(f"{CALL}/model-versions/create", json=source)
        assert version.status_code == 200, version.text
    found = of(api, mlflow, "train-1").json()
    assert found["incomplete"] is None
    assert [(one["id"], one["experiment"]) for one in found["tracked"]] == [
        (ids["mine"], "lineage")
    ]
    assert [(one["model"], one["version"]) for one in found["models"]] == [("taste", 1)]


def test_the_runs_before_and_after_but_no_strangers(api: str, mlflow: Mlflow) -> None:
    found = of(api, mlflow, "train-1").json()
    assert [one["id"] for one in found["upstream"]] == ["load-1"]
    assert [one["id"] for one in found["downstream"]] == ["report-1"]
    assert of(api, mlflow, "train-1", "grace").status_code == 404


def test_the_datasets_that_queries_name(api: str, mlflow: Mlflow) -> None:
    with mlflow.context.database.session() as session:
        for sql in ("select * from ORDERS o join people using (id)", "select 1 from orders"):
            lineage.read(session, "load-1", "shop", sql)
        lineage.read(session, "report-1", "shop", "select 1")
        lineage.read(session, "no-such-run", "shop", "select * from orders")
    assert of(api, mlflow, "load-1").json()["datasets"] == ["shop.main.orders", "shop.main.people"]
    assert of(api, mlflow, "report-1").json()["datasets"] == ["shop"]


def test_a_preview_is_a_reading_as_well(api: str, mlflow: Mlflow) -> None:
    with mlflow.context.database.session() as session:
        until = utcnow() + timedelta(minutes=5)
        token = issue_run_token(session, user="ada", run_id="train-1", expires_at=until)
    with httpx.Client(
        base_url=api, headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=60
    ) as run:
        assert run.get("/datasets/shop.main.order_lines/preview").status_code == 200
        sql = {"sql": "select * from people"}
        assert run.post("/sources/shop/query", json=sql).status_code == 200
    assert of(api, mlflow, "train-1").json()["datasets"] == [
        "shop.main.order_lines", "shop.main.people",
    ]  # fmt: skip


def test_names_of_what_the_reader_may_not_see_are_left_out(api: str, mlflow: Mlflow) -> None:
    """Of sources and jobs; the run itself is shared with everybody."""
    with mlflow.context.database.session() as session:
        session.get_one(JobRow, "train").visibility = "everyone"
        for name in ("shop.main.orders", "shop.secret.main.orders", "gone.main.t"):
            lineage.looked_at(session, "train-1", name)
    try:
        hers = of(api, mlflow, "train-1", "grace").json()
        # The source of that name is her group's.
        assert hers["datasets"] == ["shop.secret.main.orders"]
        assert (hers["upstream"], hers["downstream"]) == ([], [])
        headers = {"Authorization": f"Bearer {mlflow.hub.token('grace')}"}
        for path in ("runs/train-1", "jobs/train/runs"):
            seen = httpx.get(f"{api}/{path}", headers=headers, trust_env=False, timeout=60)
            assert '"upstream":{}' in seen.text, seen.text
        ours = of(api, mlflow, "train-1").json()["datasets"]
        assert "shop.main.orders" in ours
        assert "shop.secret.main.orders" not in ours, "a source of its own, of another group"
        assert "gone.main.t" not in ours
    finally:
        with mlflow.context.database.session() as session:
            session.get_one(JobRow, "train").visibility = "private"


def test_from_the_other_ends(api: str, mlflow: Mlflow) -> None:
    def runs(user: str = "ada", **query: object) -> httpx.Response:
        headers = {"Authorization": f"Bearer {mlflow.hub.token(user)}"}
        return httpx.get(
            f"{api}/lineage", params=query, headers=headers, trust_env=False, timeout=60
        )

    with mlflow.context.database.session() as session:
        for run in ("load-1", "report-1", "other-1"):
            lineage.looked_at(session, run, "shop.main.orders")
    first = runs(dataset="shop.main.orders", limit=1).json()
    rest = runs(dataset="shop.main.orders", cursor=first["next_cursor"]).json()
    found = [one["id"] for one in first["items"] + rest["items"]]
    assert [one for one in found if one != "train-1"] == ["report-1", "load-1"], "and not bob's"
    assert runs("grace", dataset="shop.main.orders").status_code == 404
    with mlflow.client("ada") as ada:
        body = {"name": "ends"}
        experiment = ada.post(f"{CALL}/experiments/create", json=body).json()["experiment_id"]
        body = {"experiment_id": experiment, "tags": [{"key": "perijove.run", "value": "load-1"}]}
        made = ada.post(f"{CALL}/runs/create", json=body).json()["run"]["info"]
        ada.post(f"{CALL}/registered-models/create", json={"name": "scent"})
        source = {"name": "scent", "source": f"{made['artifact_uri']}/m", "run_id": made["run_id"]}
        assert ada.post(f"{CALL}/model-versions/create", json=source).status_code == 200
        for query in ({"tracked_run": made["run_id"]}, {"model": "scent", "version": 1}):
            answer = runs(**query).json()["items"]
            assert [(one["job"], one["id"]) for one in answer] == [("load", "load-1")]
            assert runs("grace", **query).status_code == 404
        ada.post(f"{CALL}/runs/delete", json={"run_id": made["run_id"]})
        tracked = of(api, mlflow, "load-1").json()
        assert made["run_id"] in [
            one["id"] for one in tracked["tracked"] if one["state"] == "deleted"
        ]
        assert [one["model"] for one in tracked["models"]] == ["scent"]
    for wrong in ({}, {"model": "scent"}, {"dataset": "x", "tracked_run": "0"}):
        assert runs(**wrong).status_code == 422
    assert runs(model="nothing", version=1).status_code == 404


def test_a_runs_token_says_which_run_it_is(api: str, mlflow: Mlflow) -> None:
    with mlflow.context.database.session() as session:
        until = utcnow() + timedelta(minutes=5)
        token = issue_run_token(session, user="ada", run_id="load-1", expires_at=until)
    headers = {"Authorization": f"Bearer {token}"}
    who = httpx.get(f"{api}/whoami", headers=headers, trust_env=False, timeout=30).json()
    assert (who["kind"], who["run"]) == ("run", "load-1")


def test_without_mlflow_the_rest_is_told(api: str, mlflow: Mlflow) -> None:
    context = Context(mlflow.context.settings, mlflow.context.data)
    object.__setattr__(context.topology, "mlflow_port", free_port())
    with served(create_app(context), port := free_port()):
        found = of(f"http://127.0.0.1:{port}{API}", mlflow, "train-1").json()
    context.database.close()
    assert "MLflow does not answer" in found["incomplete"]
    assert [one["id"] for one in found["upstream"]] == ["load-1"]

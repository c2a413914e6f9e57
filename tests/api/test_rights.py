"""Every address of the API, walked as a stranger, as another group's user and with bare tokens.

The addresses come from the API's own description: one that is added without protection, or
without an object of ada's here to try it on, fails.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from perijove_hub.access import VERBS, scope
from perijove_hub.api.app import API, create_app
from perijove_hub.identity import issue_run_token, revoke_run_tokens
from perijove_hub.settings import SourceSettings
from perijove_hub.store.models import (
    ArtifactRow,
    BuildRow,
    DatasetRow,
    DeploymentRow,
    ImageRow,
    ImageVersionRow,
    KernelRow,
    RunRow,
    SourceRow,
    utcnow,
)
from tests.fixtures.api import Api
from tests.fixtures.mlflow import Mlflow
from tests.jobs.conftest import TUTORIAL

#: Methods and paths, relative to ``/api/v1``.
ROUTES = sorted(
    (method.upper(), path.removeprefix(API))
    for path, methods in create_app(None).openapi()["paths"].items()
    for method in methods
)
#: Those that name an object of somebody's. What is put among one's own secrets is one's own.
OWN = ("PUT", "/secrets/{name}")
OBJECTS = [route for route in ROUTES if "{" in route[1] and route != OWN]
#: Those that only look at what they are sent.
READING = ("/jobs/inspect", "/jobs/schedule/preview")

#: What is sent, so that the body is not what is refused.
BODIES: dict[tuple[str, str], Any] = {
    ("POST", "/jobs"): {"name": "mine", "notebook": TUTORIAL},
    ("POST", "/jobs/inspect"): {"notebook": TUTORIAL},
    ("POST", "/jobs/schedule/preview"): {"cron": "0 6 * * *"},
    ("POST", "/jobs/{job_id}/runs"): {},
    ("POST", "/jobs/{job_id}/backfills"): {"range": {"parameter": "C", "values": [1]}},
    ("POST", "/jobs/{job_id}/sweeps"): {"space": {"C": {"values": [1]}}, "metric": "loss"},
    ("POST", "/jobs/{job_id}/notifications"): {
        "channel": "webhook",
        "target": "https://93.184.215.14/",
    },
    ("POST", "/runs/{run_id}/again"): {},
    ("PATCH", "/jobs/{job_id}"): {"visibility": "everyone"},
    ("POST", "/deployments"): {"model": "m", "version": 1},
    ("POST", "/images"): {"spec": {"name": "mine", "pip": ["polars"]}},
    ("POST", "/images/{name}/rollback"): {"version": 1},
    ("POST", "/kernels"): {"size": "small"},
    ("POST", "/sources/{name}/query"): {"sql": "select 1"},
    ("POST", "/shares"): {"name": "mine.ipynb", "notebook": TUTORIAL, "receiver": "ada"},
    ("PUT", "/secrets/{name}"): {"value": "a value"},
}


@dataclass
class Adas:
    """Ids of ada's real objects, by the first word of the routes that take them."""

    api: Api
    ids: dict[str, str]

    def at(self, path: str, *, nobodys: bool = False) -> str:
        """Fill a path in with ada's ids, or with ids that nothing has."""

        def fill(placeholder: re.Match[str]) -> str:
            version = placeholder[0] == "{version}" or "{version}/diff" in path
            if version and placeholder[0] in ("{version}", "{other}"):
                return "1"
            if placeholder[0] == "{path}":
                return "secret.txt"
            key = path.split("/")[1]
            assert key in self.ids, f"no object of ada's to try {path} on: add one here"
            if nobodys:
                return "NOTHING" if key == "secrets" else "nothing"
            return self.ids[key]

        return re.sub(r"\{\w+\}", fill, path)

    def send(
        self, client: httpx.Client, route: tuple[str, str], *, nobodys: bool = False
    ) -> httpx.Response:
        """Call a route with a body that it takes."""
        method, path = route
        return client.request(method, self.at(path, nobodys=nobodys), json=BODIES.get(route))


@pytest.fixture(scope="session")
def tracked(
    hub: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Mlflow, str, str]]:
    """MLflow with an experiment and a run of ada's."""
    with Mlflow.running(hub, tmp_path_factory.mktemp("mlflow")) as mlflow:
        with mlflow.client("ada") as ada:
            api = "/api/2.0/mlflow"
            made = ada.post(f"{api}/experiments/create", json={"name": "secret"}).json()
            run = ada.post(f"{api}/runs/create", json=made).json()["run"]["info"]["run_id"]
        yield mlflow, made["experiment_id"], run


@pytest.fixture
def adas(api: Api, tracked: tuple[Mlflow, str, str], tmp_path: Any) -> Adas:
    """A control plane with one object of ada's of every kind."""
    mlflow, experiment, tracked_run = tracked
    topology = mlflow.context.topology
    object.__setattr__(api.context.topology, "mlflow_port", topology.mlflow_port)
    source = SourceSettings(url=f"sqlite:///{tmp_path / 'x.sqlite'}", groups=["research"])
    api.context.settings.catalog.sources["shop"] = source
    with api.client("ada") as ada:
        job = ada.post("/jobs", json={"name": "secret", "notebook": TUTORIAL}).json()
        run = ada.post(f"/jobs/{job['id']}/runs", json={}).json()
        made = {
            kind: ada.post(
                f"/jobs/{job['id']}/{kind}", json=BODIES["POST", f"/jobs/{{job_id}}/{kind}"]
            )
            for kind in ("backfills", "sweeps", "notifications")
        }
        secret = {"name": "secret.ipynb", "notebook": TUTORIAL, "group": "research"}
        share = ada.post("/shares", json=secret).json()
        ada.put("/secrets/SECRET", json={"value": "a value"}).raise_for_status()
    kept = api.context.blobs.put(json.dumps(TUTORIAL).encode())
    with api.context.database.session() as session:
        row = session.get_one(RunRow, run["id"])
        row.state, row.ended_at, row.failed_cell = "failed", utcnow(), 0
        row.output_sha256 = row.log_sha256 = row.events_sha256 = kept
        session.add(ArtifactRow(run_id=row.id, path="secret.txt", sha256=kept, bytes=1))
        session.add(SourceRow(name="shop", kind="sqlite", groups=["research"]))
        session.flush()
        session.add(DatasetRow(name="shop.main.t", source="shop", schema_name="main", table="t"))
        image = ImageRow(name="secret", owner="ada", current=1)
        session.add(image)
        session.flush()
        session.add(
            ImageVersionRow(
                image_id=image.id,
                version=1,
                state="approved",
                digest=f"sha256:{'1' * 64}",
                created_by="ada",
            )
        )
        build = BuildRow(image_id=image.id, version=1, requested_by="ada", state="succeeded")
        session.add(build)
        session.flush()
        kernel = KernelRow(user="ada", image="secret@1", digest="", size="small")
        session.add(kernel)
        session.flush()
        session.add(
            DeploymentRow(
                name="secret", owner="ada", model="m", version=1, workspace="group-research"
            )
        )
    return Adas(
        api,
        {
            "jobs": job["id"],
            "runs": run["id"],
            **{kind: answer.json()["id"] for kind, answer in made.items()},
            "experiments": experiment,
            "tracked-runs": tracked_run,
            "sources": "shop",
            "datasets": "shop.main.t",
            "deployments": "secret",
            "images": "secret",
            "builds": build.id,
            "shares": share["id"],
            "kernels": kernel.id,
            "secrets": "SECRET",
        },
    )


def test_a_stranger_gets_401_everywhere(adas: Adas) -> None:
    for token in (None, "0" * 32, "pjr_" + "0" * 43):
        with adas.api.client(None, token=token) as stranger:
            for route in ROUTES:
                answer = adas.send(stranger, route)
                assert answer.status_code == 401, (route, answer.text)
                assert answer.headers["content-type"] == "application/problem+json"
                assert answer.headers["www-authenticate"] == "Bearer"


def test_a_stranger_gets_401_whatever_the_body(adas: Adas) -> None:
    with adas.api.client(None) as stranger:
        for method, path in ROUTES:
            answer = stranger.request(
                method,
                adas.at(path),
                content=b"{" if method != "GET" else None,
                headers={"Content-Type": "application/json"},
            )
            assert answer.status_code == 401, (method, path)


def test_to_another_groups_user_nothing_of_adas_exists(adas: Adas) -> None:
    with adas.api.client("grace") as grace:
        for route in OBJECTS:
            answer = adas.send(grace, route)
            assert answer.status_code == 404, (route, answer.text)
            nothing = adas.send(grace, route, nobodys=True)
            names = {adas.at(route[1]).split("/")[2]: "X", "nothing": "X"}
            told, expected = answer.text, nothing.text
            for name, neutral in names.items():
                told, expected = told.replace(name, neutral), expected.replace(name, neutral)
            assert (nothing.status_code, told) == (404, expected), route
        for method, path in ROUTES:
            if method == "GET" and "{" not in path and path != "/whoami":
                assert "secret" not in grace.get(path).text, path
                assert "shop" not in grace.get(path).text, path


def test_ada_reaches_every_object_that_others_do_not(adas: Adas) -> None:
    # Or the test above would prove nothing.
    with adas.api.client("ada") as ada:
        for route in OBJECTS:
            if route[0] == "GET" and not route[1].endswith("/preview"):
                assert adas.send(ada, route).status_code == 200, route


def test_who_sees_what_everyone_may_see_changes_none_of_it(adas: Adas) -> None:
    with adas.api.context.database.session() as session:
        session.get_one(DeploymentRow, "secret").visibility = "everyone"
        session.query(ImageRow).one().visibility = "everyone"
    with adas.api.client("ada") as ada:
        ada.patch(adas.at("/jobs/{job_id}"), json={"visibility": "everyone"}).raise_for_status()
    with adas.api.client("grace") as grace:
        for route in OBJECTS:
            method, path = route
            # Kernels and secrets are never shared, and tests/shares has who may take one back.
            never = ("/sources", "/shares", "/kernels", "/secrets")
            if method == "GET" or path.startswith(never):
                continue
            answer = adas.send(grace, route)
            assert answer.status_code == 403, (route, answer.text)


@pytest.mark.parametrize("service", ["mlflow", "serve"])
def test_a_token_for_another_service_reaches_nothing(adas: Adas, service: str) -> None:
    verbs = [scope(verb) for verb in VERBS]
    token = adas.api.hub.token("ada", scopes=[f"access:services!service={service}", *verbs])
    with adas.api.client("ada", token=token) as bare:
        for route in ROUTES:
            assert adas.send(bare, route).status_code == 403, route


def test_a_token_without_verbs_may_do_nothing(adas: Adas) -> None:
    token = adas.api.hub.token("ada", scopes=["access:services!service=perijove"])
    with adas.api.client("ada", token=token) as bare:
        for route in ROUTES:
            answer = adas.send(bare, route)
            assert answer.status_code == 403, route
            assert "custom:perijove:" in answer.json()["fix"]


def test_a_token_that_reads_changes_and_starts_nothing(adas: Adas) -> None:
    scopes = ["access:services!service=perijove", scope("read")]
    with adas.api.client("ada", token=adas.api.hub.token("ada", scopes=scopes)) as reader:
        for route in ROUTES:
            method, path = route
            if method != "GET" and path not in READING:
                assert adas.send(reader, route).status_code == 403, route


def test_a_runs_token_makes_no_jobs_and_ends_with_its_run(adas: Adas) -> None:
    with adas.api.context.database.session() as session:
        ends = utcnow().replace(year=utcnow().year + 1)
        token = issue_run_token(session, user="ada", run_id=adas.ids["runs"], expires_at=ends)
    with adas.api.client("ada", token=token) as run:
        for route in ROUTES:
            method, path = route
            if path.startswith(("/jobs", "/runs")) and method != "GET" and path not in READING:
                assert adas.send(run, route).status_code == 403, route
            if path.startswith("/secrets"):
                assert adas.send(run, route).status_code == 403, route
        with adas.api.context.database.session() as session:
            revoke_run_tokens(session, adas.ids["runs"])
        for route in ROUTES:
            assert adas.send(run, route).status_code == 401, route

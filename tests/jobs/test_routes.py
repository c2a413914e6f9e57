"""Jobs over HTTP, with the real Hub saying who is who."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from typing import Any

import httpx
import pytest

from perijove_hub.jobs.duty import JobDuty
from perijove_hub.launch.local import LocalLauncher
from tests.fixtures.api import Api
from tests.fixtures.processes import wait_until
from tests.jobs.conftest import TUTORIAL
from tests.jobs.notebooks import code, notebook

Be = Callable[..., httpx.Client]


@pytest.fixture
def be(api: Api) -> Iterator[Callable[..., httpx.Client]]:
    """Be someone towards the API: ``be("ada")``; connections end with the test."""
    with ExitStack() as stack:
        yield lambda user, **more: stack.enter_context(api.client(user, **more))


@pytest.fixture
def worker(api: Api) -> Iterator[None]:
    """Do the jobs' duty while the test runs."""
    stopping = threading.Event()
    launcher = LocalLauncher(api.context.data.workloads)
    duty = JobDuty(api.context, launcher)

    def work() -> None:
        while not stopping.wait(0.1):
            duty.tick()

    thread = threading.Thread(target=work)
    thread.start()
    yield
    stopping.set()
    thread.join()
    for status in launcher.list():
        launcher.stop(status.name)


def promote(client: httpx.Client, **more: Any) -> dict[str, Any]:
    answer = client.post("/jobs", json={"name": "tutorial", "notebook": TUTORIAL, **more})
    assert answer.status_code in (200, 201), answer.text
    found: dict[str, Any] = answer.json()
    return found


def ended(client: httpx.Client, run_id: str) -> dict[str, Any]:
    def state() -> bool:
        return client.get(f"/runs/{run_id}").json()["state"] not in ("queued", "running")

    wait_until(state, seconds=60)
    found: dict[str, Any] = client.get(f"/runs/{run_id}").json()
    return found


def test_the_whole_way_from_a_notebook_to_its_output(be: Be, worker: None) -> None:
    ada = be("ada")
    first = ada.post("/jobs", json={"name": "tutorial", "notebook": TUTORIAL})
    assert first.status_code == 201
    again = ada.post("/jobs", json={"name": "tutorial", "notebook": TUTORIAL})
    assert (again.status_code, again.json()["latest"]["version"]) == (200, 1)
    job = first.json()
    answer = ada.post(f"/jobs/{job['id']}/runs", json={"parameters": {"C": 2}})
    assert answer.status_code == 201
    run = ended(ada, answer.json()["id"])
    assert run["state"] == "succeeded"
    logs = ada.get(f"/runs/{run['id']}/logs").json()
    assert "C = 2.0" in logs["text"]
    assert logs["ended"]
    output = ada.get(f"/runs/{run['id']}/notebook").json()
    assert output["nbformat"] == 4
    page = ada.get(f"/runs/{run['id']}/notebook.html")
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert page.headers["x-content-type-options"] == "nosniff"
    assert "C = 2.0" in page.text
    assert ada.get(f"/jobs/{job['id']}/runs").json()["items"][0]["id"] == run["id"]


def test_a_runs_own_token_acts_for_its_owner_and_makes_no_further_runs(
    api: Api, be: Be, worker: None
) -> None:
    ada = be("ada")
    source = f"""
import os, httpx
me = {{"Authorization": "Bearer " + os.environ["PERIJOVE_TOKEN"]}}
api = os.environ["PERIJOVE_URL"] + "/api/v1"
who = httpx.get(api + "/whoami", headers=me).json()
print("WHO", who["name"], who["kind"])
job = httpx.get(api + "/jobs?name=self", headers=me).json()["items"][0]
print("RUN", httpx.post(api + "/jobs/" + job["id"] + "/runs", json={{}}, headers=me).status_code)
print("NEW", httpx.post(api + "/jobs", json={{}}, headers=me).status_code)
import perijove
%load_ext perijove
%promote
%job run self
open({str(api.context.data.root / "token")!r}, "w").write(os.environ["PERIJOVE_TOKEN"])
"""
    job = promote(ada, name="self", notebook=notebook(code(source)))
    run = ended(ada, ada.post(f"/jobs/{job['id']}/runs", json={}).json()["id"])
    log = ada.get(f"/runs/{run['id']}/logs").json()["text"]
    assert run["state"] == "succeeded", log
    assert "WHO ada run" in log
    assert "RUN 403" in log
    assert "NEW 403" in log
    assert "This is a job's run: nothing to promote." in log
    assert "This is a job's run: it does not run 'self'." in log
    # After the run its token is worth nothing.
    token = (api.context.data.root / "token").read_text()
    assert be(None, token=token).get("/whoami").status_code == 401


def test_a_stranger_sees_nothing(be: Be) -> None:
    stranger = be(None)
    for method, path in (
        ("GET", "/jobs"),
        ("POST", "/jobs"),
        ("POST", "/jobs/inspect"),
        ("GET", "/jobs/x"),
        ("PATCH", "/jobs/x"),
        ("DELETE", "/jobs/x"),
        ("GET", "/jobs/x/versions"),
        ("GET", "/jobs/x/runs"),
        ("POST", "/jobs/x/runs"),
        ("GET", "/runs/x"),
        ("POST", "/runs/x/cancel"),
        ("GET", "/runs/x/logs"),
        ("GET", "/runs/x/notebook"),
        ("GET", "/runs/x/notebook.html"),
    ):
        body = {"json": {"notebook": {}}} if method in ("POST", "PATCH") else {}
        assert stranger.request(method, path, **body).status_code == 401, path


def test_someone_of_another_group_finds_no_job_and_no_run(be: Be) -> None:
    ada, grace = be("ada"), be("grace")
    job = promote(ada, visibility="group")
    run = ada.post(f"/jobs/{job['id']}/runs", json={}).json()["id"]
    for method, path in (
        ("GET", f"/jobs/{job['id']}"),
        ("PATCH", f"/jobs/{job['id']}"),
        ("DELETE", f"/jobs/{job['id']}"),
        ("GET", f"/jobs/{job['id']}/versions"),
        ("GET", f"/jobs/{job['id']}/runs"),
        ("POST", f"/jobs/{job['id']}/runs"),
        ("GET", f"/runs/{run}"),
        ("POST", f"/runs/{run}/cancel"),
        ("GET", f"/runs/{run}/logs"),
        ("GET", f"/runs/{run}/notebook"),
        ("GET", f"/runs/{run}/notebook.html"),
    ):
        body = {"json": {}} if method in ("POST", "PATCH") else {}
        assert grace.request(method, path, **body).status_code == 404, path
    assert grace.get("/jobs").json()["items"] == []


def test_a_token_that_may_only_read_neither_promotes_nor_runs(api: Api, be: Be) -> None:
    job = promote(be("ada"))
    scopes = ["custom:perijove:read", "access:services!service=perijove"]
    reader = be(None, token=api.hub.token("ada", scopes=scopes))
    assert reader.get(f"/jobs/{job['id']}").status_code == 200
    assert reader.post("/jobs", json={"name": "x", "notebook": TUTORIAL}).status_code == 403
    assert reader.post(f"/jobs/{job['id']}/runs", json={}).status_code == 403


def test_wrong_input_names_its_field_and_the_fix(be: Be) -> None:
    ada = be("ada")
    job = promote(ada)
    answer = ada.post(f"/jobs/{job['id']}/runs", json={"parameters": {"c": 1}})
    assert answer.status_code == 422
    assert answer.json()["field"] == "parameters.c"
    assert "Did you mean 'C'" in answer.json()["detail"]
    answer = ada.post("/jobs", json={"name": "No Name", "notebook": TUTORIAL})
    assert (answer.status_code, answer.json()["field"]) == (422, "name")
    answer = ada.post("/jobs/inspect", json={"notebook": {"a": 1}})
    assert (answer.status_code, answer.json()["field"]) == (422, "notebook")
    answer = ada.get("/jobs", params={"cursor": "x"})
    assert (answer.status_code, answer.json()["field"]) == (422, "cursor")


def test_a_body_too_large_is_refused_unread(api: Api, be: Be) -> None:
    address = api.url.removeprefix("http://").partition("/")
    with closing(HTTPConnection(address[0], timeout=20)) as connection:
        connection.putrequest("POST", "/" + address[2] + "/jobs")
        connection.putheader("Content-Length", str(10**9))
        connection.endheaders()
        answer = connection.getresponse()
        assert answer.status == 413
        assert "at most 64 are taken" in (said := answer.read().decode())
        assert "Clear the notebook's large outputs, or send fewer files" in said

    def endless() -> Iterator[bytes]:
        yield b"{"

    assert be("ada").post("/jobs", content=endless()).status_code == 413


def test_an_inspection_shows_the_form(be: Be) -> None:
    answer = be("ada").post("/jobs/inspect", json={"notebook": TUTORIAL}).json()
    assert answer["parameters"][0] | {"help": ""} == {
        "name": "C",
        "type": "float",
        "default": 0.5,
        "required": False,
        "nullable": False,
        "choices": [],
        "help": "",
    }

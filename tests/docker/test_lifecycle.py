"""From an image that a user builds to a model that answers from it, and what shuts it again."""

from __future__ import annotations

import contextlib
import json
import socket
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import docker
import httpx
import pytest
import websocket

from perijove.types.images import ImageSpec
from perijove_hub.context import INSIDE_PORTS, Context
from perijove_hub.engine import Names
from tests.docker.conftest import Indexes
from tests.docker.test_kernels import Notebook
from tests.docker.test_workspace import stop
from tests.fixtures.processes import wait_until
from tests.fixtures.product import Product
from tests.jobs.notebooks import code, notebook

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

API = "/services/perijove/api/v1"
IMAGE = "walked@1"

#: Tries an address, from wherever it runs.
REACH = """
def reach(host, port):
    import socket
    try:
        socket.create_connection((host, port), timeout=2).close()
        return "reached"
    except OSError as error:
        return type(error).__name__
"""
#: The run looks around, and stays until the test has looked at it.
LOOK = """
import os, socket, pj_fine
print("ran in", os.environ["PERIJOVE_IMAGE_DIGEST"])
door = socket.create_server(("0.0.0.0", 9000))
print("tried", reach(neighbour, 8888), reach(host, api), flush=True)
door.settimeout(300)
door.accept()[0].close()
print("told to end")
"""
#: A model that predicts whether it reaches its input.
REGISTER = """
import mlflow
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema
class Looks(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        import pj_fine
        return [reach(*row) for row in model_input.itertuples(index=False)]
mlflow.set_experiment("walk")
with mlflow.start_run():
    columns = Schema([ColSpec("string", "host"), ColSpec("long", "port")])
    mlflow.pyfunc.log_model(
        name="model", python_model=Looks(), registered_model_name="looks", pip_requirements=[],
        signature=ModelSignature(inputs=columns, outputs=Schema([ColSpec("string")])),
    )
"""
PARAMETERS = "neighbour: str = ''\nhost: str = ''\napi: int = 0"


@dataclass
class Walk:
    """The product, its people, and what the steps have made so far."""

    product: Product
    names: Names
    engine: Any
    context: Context
    ada: httpx.Client
    grace: httpx.Client
    admin: httpx.Client
    made: dict[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        return str(self.made["digest"])

    def api(self, method: str, path: str, *, by: httpx.Client | None = None, **body: Any) -> Any:
        answer = (by or self.ada).request(method, f"{API}{path}", json=body or None)
        assert answer.is_success, answer.text
        return answer.json()

    def container(self, kind: str, *parts: str) -> Any:
        return self.engine.containers.get(self.names.container(kind, *parts))

    def workload(self, begin: str) -> Any:
        """Return the container of the one run or replica."""
        labels = [f"perijove={self.names.key}", "perijove.kind=t"]
        found = self.engine.containers.list(filters={"label": labels})
        [one] = [one for one in found if one.labels["perijove.id"].startswith(begin)]
        return one

    @contextlib.contextmanager
    def opened(self, user: str, path: str) -> Iterator[Notebook]:
        """Open a notebook in a user's workspace, with a kernel."""
        client: httpx.Client = getattr(self, user)
        session = client.post(
            f"/user/{user}/api/sessions",
            json={"path": path, "name": path, "type": "notebook", "kernel": {"name": "python3"}},
        )
        assert session.status_code == 201, session.text
        kernel = session.json()["kernel"]["id"]
        host = self.product.url.partition("://")[2]
        link = websocket.create_connection(
            f"ws://{host}/user/{user}/api/kernels/{kernel}/channels",
            header=[f"Authorization: {client.headers['Authorization']}"],
            timeout=180,
        )
        with contextlib.closing(link):
            yield Notebook(client, kernel, link)


@pytest.fixture(scope="module")
def walk(product: Product) -> Iterator[Walk]:
    with contextlib.ExitStack() as stack:
        context = Context.open(product.data, None)
        stack.callback(context.database.close)
        engine = stack.enter_context(contextlib.closing(docker.from_env()))
        ada, grace, admin = (
            stack.enter_context(product.client(user)) for user in ("ada", "grace", "admin")
        )
        walk = Walk(product, Names.of(product.data), engine, context, ada, grace, admin)
        yield walk
        ada.delete(f"{API}/deployments/looks")
        for user, client in (("ada", ada), ("grace", grace)):
            stop(product, client, user)
        # Her last choice is retired by now, and other tests start what she chose last.
        ada.post("/hub/api/users/ada/server", json={"image": "cpu"}).raise_for_status()
        wait_until(lambda: product.server(ada, "ada").get("ready"), seconds=60, what="the start")
        stop(product, ada, "ada")
        gone = f"{API}/deployments/looks"
        wait_until(lambda: ada.get(gone).status_code == 404, seconds=60, what="the model's end")
        for tag in built(walk):
            engine.images.remove(tag, force=True)


def built(walk: Walk) -> list[str]:
    """Name the images that this product has built."""
    tags = [tag for image in walk.engine.images.list() for tag in image.tags]
    return [tag for tag in tags if tag.startswith(walk.names.prefix)]


@pytest.fixture(scope="module")
def open_notebook(walk: Walk) -> Iterator[Notebook]:
    """ada's notebook in her workspace, saved and open."""
    cells = [code(REACH), code(LOOK), code("%promote walk")]
    content = notebook(code(PARAMETERS, tags=["parameters"]), *cells)
    saved = walk.ada.put(
        "/user/ada/api/contents/walk.ipynb", json={"type": "notebook", "content": content}
    )
    assert saved.status_code in (200, 201), saved.text
    with walk.opened("ada", "walk.ipynb") as opened:
        yield opened


def ended(walk: Walk, path: str, *, seconds: float = 180) -> dict[str, Any]:
    """Wait until a build or a run has ended."""
    found: dict[str, Any] = {}

    def over() -> bool:
        found.update(walk.api("GET", path))
        return found["state"] not in ("queued", "running")

    wait_until(over, seconds=seconds, what=f"the end of {path}")
    return found


def test_an_image_is_built_tested_and_approved_before_it_starts(walk: Walk) -> None:
    build = walk.api("POST", "/images", spec={"name": "walked", "pip": ["pj-fine"]})
    assert ended(walk, f"/builds/{build['id']}")["state"] == "succeeded"
    assert walk.api("GET", "/images/walked/versions/1")["state"] == "tested"
    refused = walk.ada.post("/hub/api/users/ada/server", json={"image": IMAGE})
    assert refused.status_code == 400
    assert f"'{IMAGE}' is tested; only approved versions start." in refused.json()["message"]
    by_herself = walk.ada.post(f"{API}/images/walked/versions/1/approve")
    assert by_herself.status_code == 403
    approved = walk.api("POST", "/images/walked/versions/1/approve", by=walk.admin)
    assert approved["state"] == "approved"
    walk.made["digest"] = approved["digest"]


def test_a_workspace_runs_in_exactly_that(walk: Walk) -> None:
    started = walk.ada.post("/hub/api/users/ada/server", json={"image": IMAGE, "size": "medium"})
    assert started.status_code in (201, 202), started.text
    wait_until(lambda: walk.product.server(walk.ada, "ada").get("ready"), seconds=60)
    assert walk.container("w", "ada", "").attrs["Image"] == walk.digest


def test_freeze_captures_what_was_installed_by_hand(
    walk: Walk, open_notebook: Notebook, indexes: Indexes
) -> None:
    index = indexes.workspaces
    installed = open_notebook.execute(
        f"%pip install --quiet --index-url {index.url} --trusted-host {index.host} pj-extra"
    )
    assert "Error" not in installed
    # At once, without a restart of the kernel.
    assert open_notebook.execute("import pj_fine, pj_extra; print('both')") == "both\n"
    # It waits for nothing: the rest goes on while it is built.
    said = open_notebook.execute("%freeze walked-on --build --no-wait")
    assert said == "walked-on.toml holds this environment.\n"
    written = walk.ada.get("/user/ada/api/contents/walked-on.toml").json()["content"]
    spec = ImageSpec.model_validate(tomllib.loads(written))
    assert (spec.base, spec.pip, spec.apt) == (IMAGE, ["pj-extra==1"], [])
    assert walk.digest in written


def test_promote_pins_the_image_and_says_what_it_lacks(walk: Walk, open_notebook: Notebook) -> None:
    said = open_notebook.execute("%promote walk")
    assert said.splitlines() == [
        "walk is a job, version 1.",
        f"Not in {IMAGE}, so not where it will run: pj_extra 1. %freeze --build makes an image.",
    ]
    [job] = walk.api("GET", "/jobs?name=walk")["items"]
    assert job["latest"]["image"] == IMAGE
    walk.made["job"] = job["id"]


def test_a_run_happens_in_exactly_that(walk: Walk) -> None:
    walk.product.start_server(walk.grace, "grace")
    [network] = walk.container("w", "grace", "").attrs["NetworkSettings"]["Networks"].values()
    walk.made["neighbour"] = network["IPAddress"]
    parameters = {
        "neighbour": network["IPAddress"],
        "host": network["Gateway"],
        "api": INSIDE_PORTS["api"],
    }
    run = walk.api("POST", f"/jobs/{walk.made['job']}/runs", parameters=parameters)
    walk.made |= {"run": run["id"], "host": network["Gateway"]}

    def log() -> str:
        answer = walk.api("GET", f"/runs/{run['id']}/logs")
        assert not answer["ended"], answer["text"]
        return str(answer["text"])

    wait_until(lambda: "tried" in log(), seconds=120, what="the run's attempts")
    assert f"ran in {walk.digest}\n" in log()
    # It does not reach another's workspace, and reaches what it has to.
    assert "tried TimeoutError reached\n" in log()
    container = walk.workload("run-")
    assert container.attrs["Image"] == container.attrs["Config"]["Image"] == walk.digest


def test_a_model_is_served_from_exactly_that(walk: Walk, open_notebook: Notebook) -> None:
    assert "Error" not in open_notebook.execute(REACH)
    assert "Error" not in open_notebook.execute(REGISTER)
    assert "Error" not in open_notebook.execute("%deploy looks --version 1")
    assert walk.api("GET", "/deployments/looks")["image"] == IMAGE
    assert predicted(walk) == ["TimeoutError", "reached"]
    container = walk.workload("replica-")
    assert container.attrs["Image"] == container.attrs["Config"]["Image"] == walk.digest


def predicted(walk: Walk) -> Any:
    """Ask the model whether it reaches grace's workspace, and the control plane."""
    rows = [[walk.made["neighbour"], 8888], [walk.made["host"], INSIDE_PORTS["api"]]]
    answer = walk.ada.post(
        "/services/serve/looks/invocations",
        json={"dataframe_split": {"columns": ["host", "port"], "data": rows}},
    )
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"]


def test_nobody_elses_workspace_reaches_them(walk: Walk) -> None:
    places = [
        (address(walk.workload("run-")), 9000),
        (address(walk.workload("replica-")), 8080),
        (address(walk.container("w", "ada", "")), 8888),
    ]
    # They do listen: the host reaches the last two, and the run's door at the end of the walk.
    for place in places[1:]:
        socket.create_connection(place, timeout=5).close()
    places.append((walk.made["host"], INSIDE_PORTS["api"]))
    content = notebook(code(""))
    walk.grace.put(
        "/user/grace/api/contents/try.ipynb", json={"type": "notebook", "content": content}
    )
    with walk.opened("grace", "try.ipynb") as opened:
        opened.execute(REACH)
        said = opened.execute(f"import json; print(json.dumps([reach(*p) for p in {places}]))")
    assert json.loads(said) == ["TimeoutError"] * 3 + ["reached"]


def address(container: Any) -> str:
    [network] = container.attrs["NetworkSettings"]["Networks"].values()
    return str(network["IPAddress"])


def test_a_retired_image_starts_nothing_and_ends_nothing(
    walk: Walk, open_notebook: Notebook
) -> None:
    retired = walk.api("POST", "/images/walked/versions/1/retire")
    assert retired["state"] == "retired"
    what = f"'{IMAGE}' is retired; only approved versions start."
    fix = "Ask an administrator to approve a tested version, or choose another image."

    run = walk.ada.post(f"{API}/jobs/{walk.made['job']}/runs", json={"parameters": {}})
    assert run.status_code == 422
    assert run.json()["detail"].endswith(f"has an image that does not start: {what}")
    assert run.json()["fix"].startswith(fix)
    start = walk.admin.post("/hub/api/users/admin/server", json={"image": IMAGE})
    assert start.status_code == 400
    assert what in start.json()["message"]
    assert fix in start.json()["message"]
    assert "walked@1' is retired" in open_notebook.execute(
        "try:\n    get_ipython().run_line_magic('deploy', 'looks --version 1 --name again')\n"
        "except Exception as error:\n    print(error)"
    )

    # What runs goes on: the workspace, the model, and the run to its good end.
    assert open_notebook.execute("print(1 + 1)") == "2\n"
    assert predicted(walk) == ["TimeoutError", "reached"]
    socket.create_connection((address(walk.workload("run-")), 9000), timeout=5).close()
    run = ended(walk, f"/runs/{walk.made['run']}")
    assert (run["state"], run["reason"]) == ("succeeded", None)
    assert "told to end" in walk.api("GET", f"/runs/{walk.made['run']}/logs")["text"]


def test_what_was_frozen_is_an_image_with_both(walk: Walk) -> None:
    [version] = walk.api("GET", "/images/walked-on/versions")["items"]
    build = ended(walk, f"/builds/{version['build']['id']}")
    assert build["state"] == "succeeded", build["reason"]
    assert walk.api("GET", "/images/walked-on/versions/1")["state"] == "tested"
    packages = walk.api("GET", "/images/walked-on/versions/1/packages?q=pj-")["items"]
    assert [(one["name"], one["version"]) for one in packages] == [
        ("pj-extra", "1"),
        ("pj-fine", "1"),
    ]

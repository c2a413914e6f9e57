"""The whole product with workspaces in Docker."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import docker
import httpx
import pytest
import websocket

from perijove_hub.context import Context
from perijove_hub.engine import Names
from perijove_hub.store.models import AuditRow, GpuLeaseRow, UsageRow, WorkspaceRow
from tests.fixtures.processes import answers, wait_until
from tests.fixtures.product import Product

#: The first run builds the images: a Debian root file system and two layers of packages.
pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

NOTE = {"type": "file", "format": "text", "content": "still here"}


@dataclass
class Workspace:
    """ada's running server, and the product around it."""

    product: Product
    client: httpx.Client
    container: Any

    def execute(self, code: str) -> str:
        """Run ``code`` in a new kernel and return what it prints and shows."""
        kernel = self.client.post("/user/ada/api/kernels", json={"name": "python3"})
        kernel.raise_for_status()
        socket, sent = self._request(kernel.json()["id"], code)
        with contextlib.closing(socket):
            return "".join(self._output(socket, sent))

    def send(self, kernel: str, code: str) -> None:
        """Run ``code`` in a kernel that may not live to answer."""
        socket, _ = self._request(kernel, code)
        socket.close()

    def _request(self, kernel: str, code: str) -> tuple[websocket.WebSocket, str]:
        host = self.product.url.partition("://")[2]
        socket = websocket.create_connection(
            f"ws://{host}/user/ada/api/kernels/{kernel}/channels",
            header=[f"Authorization: {self.client.headers['Authorization']}"],
            timeout=120,
        )
        header = {
            "msg_id": uuid.uuid4().hex,
            "msg_type": "execute_request",
            "session": "test",
            "username": "ada",
            "version": "5.3",
        }
        content = {"code": code, "silent": False, "store_history": False}
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
        socket.send(json.dumps({**message, "channel": "shell"}))
        return socket, header["msg_id"]

    @staticmethod
    def _output(socket: websocket.WebSocket, msg_id: str) -> Iterator[str]:
        while True:
            message = json.loads(socket.recv())
            if message["parent_header"].get("msg_id") != msg_id:
                continue
            content = message["content"]
            match message["header"]["msg_type"]:
                case "stream":
                    yield content["text"]
                case "execute_result" | "display_data":
                    yield content["data"].get("text/plain", "")
                case "error":
                    raise AssertionError("\n".join(content["traceback"]))
                case "status" if content["execution_state"] == "idle":
                    return


@pytest.fixture(scope="module")
def workspace(product: Product) -> Iterator[Workspace]:
    """ada's server, started."""
    with product.client("ada") as client:
        if not product.server(client, "ada").get("ready"):
            product.start_server(client, "ada")
        yield Workspace(product, client, container_of(product, "ada"))
        stop(product, client, "ada")


@pytest.fixture(scope="module")
def grace(product: Product) -> Iterator[httpx.Client]:
    """Grace's scripts."""
    with product.client("grace") as client:
        yield client
        stop(product, client, "grace")


@pytest.fixture
def context(product: Product) -> Iterator[Context]:
    """The product's database and data directory."""
    context = Context.open(product.data, None)
    yield context
    context.database.close()


def container_of(product: Product, user: str) -> Any:
    """Find a user's container."""
    with contextlib.closing(docker.from_env()) as engine:
        return engine.containers.get(Names.of(product.data).container("w", user, ""))


def containers(product: Product) -> list[str]:
    """Name the containers of workspaces, whether they run or not."""
    label = [f"perijove={Names.of(product.data).key}", "perijove.kind=w"]
    with contextlib.closing(docker.from_env()) as engine:
        return sorted(one.name for one in engine.containers.list(True, filters={"label": label}))


def start(product: Product, client: httpx.Client, user: str, **options: Any) -> None:
    """Start a user's server with ``options`` and wait until it is ready."""
    started = client.post(f"/hub/api/users/{user}/server", json=options)
    assert started.status_code in (201, 202), started.text
    wait_until(lambda: product.server(client, user).get("ready"), seconds=60, what="workspace")


def stop(product: Product, client: httpx.Client, user: str) -> None:
    """Stop a user's server and wait until it has stopped."""
    client.delete(f"/hub/api/users/{user}/server")
    wait_until(lambda: not product.server(client, user), seconds=60, what="the server stopped")


def row(context: Context, user: str) -> WorkspaceRow:
    """Return what the database knows of a user's workspace."""
    with context.database.reading() as session:
        return session.get_one(WorkspaceRow, (user, ""))


def test_jupyterlab_answers_with_the_panel(workspace: Workspace) -> None:
    page = workspace.client.get("/user/ada/lab")
    assert page.status_code == 200
    config = page.text.split('id="jupyter-config-data"')[1].split("</script>")[0].split(">", 1)[1]
    extensions = json.loads(config)["federated_extensions"]
    assert "perijove" in [extension["name"] for extension in extensions]


def test_the_server_extension_reaches_the_control_plane_as_the_user(workspace: Workspace) -> None:
    answer = workspace.client.get("/user/ada/perijove/api/whoami")
    assert answer.status_code == 200, answer.text
    assert answer.json()["name"] == "ada"
    assert answer.json()["groups"] == ["research"]


def test_a_kernel_queries_the_demo_source(workspace: Workspace) -> None:
    cell = """
get_ipython().run_cell_magic("sql", "demo --out df", "SELECT count(*) AS n FROM breast_cancer")
print("rows:", int(df["n"][0]))
"""
    assert "rows: 569" in workspace.execute(cell)


def test_the_workspace_is_nobody_special(workspace: Workspace) -> None:
    cell = """
import os, pathlib
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
caps = [int(status[name], 16) for name in ("CapEff", "CapBnd")]
print(os.getuid(), *caps, status["NoNewPrivs"].strip())
for place in ("/opt/perijove/x", "/etc/x", "/x", "/home/perijove/x", "/tmp/x"):
    try:
        pathlib.Path(place).write_text("x")
        print("wrote", place)
    except OSError as error:
        print("refused", place)
"""
    printed = workspace.execute(cell).splitlines()
    user, *restrictions = printed[0].split()
    assert int(user) != 0
    assert restrictions == ["0", "0", "1"]
    assert [line for line in printed if line.startswith("wrote")] == [
        "wrote /home/perijove/x",
        "wrote /tmp/x",
    ]


def test_the_container_is_limited(workspace: Workspace) -> None:
    host = workspace.container.attrs["HostConfig"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["PidsLimit"] == 2048
    assert host["Memory"] == host["MemorySwap"] == 1024 * 2**20
    assert host["CpuQuota"] == 100_000
    assert host["ReadonlyRootfs"]
    assert host["PortBindings"] in (None, {})
    # One that ended is looked at before the Hub removes it, and never started again.
    assert not host["AutoRemove"]
    assert host["RestartPolicy"]["Name"] == "no"


def test_it_was_made_from_the_digest_and_the_record_says_so(
    workspace: Workspace, context: Context
) -> None:
    digest = workspace.container.attrs["Config"]["Image"]
    assert digest.startswith("sha256:")
    assert digest == workspace.container.attrs["Image"]
    found = row(context, "ada")
    assert found.choice["digest"] == digest
    assert found.container == workspace.container.id
    with context.database.reading() as session:
        starts = session.query(AuditRow).filter_by(verb="workspace.start", actor="ada")
        audit = starts.order_by(AuditRow.id.desc()).first()
        usage = session.query(UsageRow).filter_by(object="ada/", ended_at=None).one()
    assert audit is not None
    assert audit.detail["digest"] == usage.digest == digest
    assert (usage.size, usage.group) == ("small", "research")


def test_the_environment_holds_no_token_but_the_servers_own(workspace: Workspace) -> None:
    env = dict(item.split("=", 1) for item in workspace.container.attrs["Config"]["Env"])
    tokens = {value for key, value in env.items() if "TOKEN" in key}
    assert tokens == {env["JUPYTERHUB_API_TOKEN"]}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"image": "perijove/base:latest"}, "is not an image's name"),
        ({"image": "sha256:" + "0" * 64}, "is not an image's name"),
        ({"size": "huge"}, "There is no size 'huge'"),
        ({"size": "medium", "idle_minutes": 10**9}, "out of bounds"),
        ({"volumes": {"/": "/host"}}, "There is no field 'volumes'"),
        ({"user_options": {"extra_host_config": {"privileged": True}}}, "extra_host_config"),
        ({"group": "research"}, "not a group of yours"),
    ],
)
def test_what_the_api_is_sent_is_checked_like_the_form(
    grace: httpx.Client, body: dict[str, Any], words: str
) -> None:
    refused = grace.post("/hub/api/users/grace/server", json=body)
    assert refused.status_code == 400, refused.text
    assert words in refused.json()["message"]
    # And the Hub has not kept it for the next start.
    kept = grace.get("/hub/api/users/grace/server").json()["user_options"]
    sent = body.get("user_options", body)
    assert not [field for field in sent if kept.get(field) == sent[field]]


def test_options_stored_for_later_are_checked_too(product: Product, grace: httpx.Client) -> None:
    grace.patch(
        "/hub/api/users/grace/server", json={"user_options": {"mem_limit": "64G"}}
    ).raise_for_status()
    refused = grace.post("/hub/api/users/grace/server")
    assert refused.status_code == 400
    assert "mem_limit" in refused.json()["message"]


def test_a_gpu_that_the_engine_does_not_have_leaves_nothing_half_made(
    product: Product, grace: httpx.Client, context: Context
) -> None:
    before = containers(product)
    refused = grace.post("/hub/api/users/grace/server", json={"size": "gpu"})
    assert refused.status_code == 500
    assert "The Docker engine refuses your workspace" in refused.json()["message"]
    assert containers(product) == before
    with context.database.reading() as session:
        assert session.query(GpuLeaseRow).all() == []
        assert session.query(UsageRow).filter_by(object="grace/", ended_at=None).all() == []


def test_starts_wait_in_a_line_that_people_see_and_can_leave(
    product: Product, grace: httpx.Client, workspace: Workspace
) -> None:
    with product.client("admin") as admin, ThreadPoolExecutor(2) as threads:
        first = threads.submit(admin.post, "/hub/api/users/admin/server", json={"size": "small"})
        wait_until(lambda: product.server(admin, "admin").get("pending"), what="the first start")
        second = threads.submit(grace.post, "/hub/api/users/grace/server", json={"size": "small"})
        wait_until(lambda: product.server(grace, "grace").get("pending"), what="the second start")
        with grace.stream("GET", "/hub/api/users/grace/server/progress") as events:
            told = next(line for line in events.iter_lines() if "in line" in line)
        assert "1st in line" in told
        assert grace.delete("/hub/api/users/grace/server").status_code in (202, 204)
        second.result()
        assert first.result().status_code in (201, 202)
        wait_until(lambda: product.server(admin, "admin").get("ready"), seconds=60, what="admin's")
        assert not product.server(grace, "grace")
        assert Names.of(product.data).container("w", "grace", "") not in containers(product)
        stop(product, admin, "admin")


def test_a_size_is_changed_while_stopped_and_the_files_stay(
    product: Product, grace: httpx.Client, context: Context
) -> None:
    start(product, grace, "grace", size="small")
    first = container_of(product, "grace")
    made = grace.put("/user/grace/api/contents/note.txt", json=NOTE)
    assert made.status_code == 201, made.text
    stop(product, grace, "grace")
    assert containers(product) == [Names.of(product.data).container("w", "ada", "")]
    start(product, grace, "grace", size="medium", interface="terminal", idle_minutes=30)
    again = container_of(product, "grace")
    assert again.id != first.id
    assert again.attrs["HostConfig"]["Memory"] == 2048 * 2**20
    env = dict(item.split("=", 1) for item in again.attrs["Config"]["Env"])
    assert env["JUPYTERHUB_DEFAULT_URL"] == "/terminals/1"
    assert grace.get("/user/grace/api/contents/note.txt").json()["content"] == NOTE["content"]
    assert row(context, "grace").choice["idle_minutes"] == 30


def test_workspaces_do_not_reach_each_other(product: Product, workspace: Workspace) -> None:
    networks = container_of(product, "grace").attrs["NetworkSettings"]["Networks"]
    [network] = networks.values()
    cell = f"""
import socket
try:
    socket.create_connection(({network["IPAddress"]!r}, 8888), timeout=3)
    print("reached")
except OSError as error:
    print("no way:", type(error).__name__)
"""
    assert "no way: TimeoutError" in workspace.execute(cell)


def test_a_workspace_outlives_the_hub(
    product: Product, workspace: Workspace, context: Context
) -> None:
    began = row(context, "ada").started_at
    pid = product.pid("hub")
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: product.pid("hub") != pid, seconds=30, what="the Hub's restart")

    def ready() -> bool:
        try:
            return bool(product.server(workspace.client, "ada").get("ready"))
        except (httpx.HTTPError, ValueError, KeyError):
            return False

    wait_until(ready, seconds=60, what="the Hub finds the workspace")
    assert container_of(product, "ada").id == workspace.container.id
    assert workspace.client.get("/user/ada/api/status").status_code == 200
    assert workspace.client.get("/user/ada/perijove/api/whoami").json()["name"] == "ada"
    assert row(context, "ada").started_at == began
    assert row(context, "ada").ended_at is None


def test_a_kernel_that_runs_out_of_memory_is_named_with_its_peak_and_the_next_size(
    product: Product, workspace: Workspace, context: Context
) -> None:
    kernel = workspace.client.post("/user/ada/api/kernels", json={"name": "python3"}).json()
    workspace.send(kernel["id"], "x = bytearray(2 * 2**30)")

    wait_until(lambda: row(context, "ada").ending, seconds=60, what="the user is told")
    ending = str(row(context, "ada").ending)
    assert "Memory ran out" in ending
    assert "python" in ending
    assert "1024 MiB" in ending
    assert "'medium' with 2048 MiB" in ending
    assert row(context, "ada").ended_at is None


def test_a_workspace_that_runs_out_of_memory_itself_is_told_so(
    product: Product, workspace: Workspace, context: Context
) -> None:
    # The kernel's killer takes what it is told to prefer: here the server, not the kernel.
    cell = """
import os, pathlib
pathlib.Path(f"/proc/{os.getppid()}/oom_score_adj").write_text("1000")
x = bytearray(2 * 2**30)
"""
    kernel = workspace.client.post("/user/ada/api/kernels", json={"name": "python3"}).json()
    workspace.send(kernel["id"], cell)
    ada = workspace.client
    wait_until(lambda: not product.server(ada, "ada"), seconds=60, what="the Hub's notice")
    ending = str(row(context, "ada").ending)
    assert "Your workspace ran out of memory" in ending
    assert "peak was 1024 MiB" in ending
    assert "'medium' with 2048 MiB" in ending
    assert Names.of(product.data).container("w", "ada", "") not in containers(product)
    with context.database.reading() as session:
        assert session.query(UsageRow).filter_by(object="ada/", ended_at=None).all() == []


def test_a_container_that_somebody_removed_is_told_and_the_next_start_works(
    product: Product, grace: httpx.Client, context: Context
) -> None:
    container_of(product, "grace").remove(force=True)
    wait_until(lambda: not product.server(grace, "grace"), seconds=60, what="the Hub's notice")
    assert "somebody removed it" in str(row(context, "grace").ending)
    # Without a body the last choice counts.
    product.start_server(grace, "grace")
    assert container_of(product, "grace").attrs["HostConfig"]["Memory"] == 2048 * 2**20
    assert row(context, "grace").ending is None


def test_a_start_that_the_hub_did_not_live_to_finish_is_cleared_away_and_told(
    product: Product, context: Context
) -> None:
    with product.client("admin") as admin, ThreadPoolExecutor(1) as threads:
        threads.submit(admin.post, "/hub/api/users/admin/server")
        name = Names.of(product.data).container("w", "admin", "")
        wait_until(lambda: name in containers(product), seconds=30, what="the container is made")
        pid = product.pid("hub")
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: product.pid("hub") != pid, seconds=30, what="the Hub's restart")
        wait_until(lambda: name not in containers(product), seconds=60, what="it is cleared away")
        wait_until(lambda: answers(f"{product.url}/hub/health"), seconds=60, what="the Hub")
        wait_until(lambda: not product.server(admin, "admin"), seconds=60, what="the Hub's record")
        assert "The Hub was restarted while" in str(row(context, "admin").ending)
        product.start_server(admin, "admin")
        stop(product, admin, "admin")

"""The way to a kernel's sockets: who may take it, and what it holds."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator

import httpx
import pytest
import websockets
from websockets.sync.client import ClientConnection, connect

from perijove_hub.access import VERBS, scope
from perijove_hub.api.app import API
from perijove_hub.identity import issue_run_token
from perijove_hub.kernels import tunnel
from perijove_hub.kernels.workload import secret
from perijove_hub.store.models import KernelRow, utcnow
from tests.fixtures.api import Api


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """What listens where a kernel of ada's is said to be."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        found.settimeout(10)
        yield found


@pytest.fixture
def kernel(api: Api, listener: socket.socket) -> KernelRow:
    """A running kernel of ada's."""
    with api.context.database.session() as session:
        row = KernelRow(
            user="ada",
            image="",
            digest="",
            size="small",
            state="running",
            address="127.0.0.1",
            ports=[listener.getsockname()[1]],
        )
        session.add(row)
    return row


def reach(
    api: Api, kernel_id: str, channel: str = "shell", headers: dict[str, str] | None = None
) -> ClientConnection:
    """Open a channel."""
    host = api.url.removeprefix("http://").removesuffix(API)
    return connect(
        f"ws://{host}{API}/kernels/{kernel_id}/channels/{channel}",
        additional_headers=headers,
        proxy=None,
        compression=None,
        close_timeout=1,
    )


def as_(api: Api, user: str, scopes: list[str] | None = None) -> dict[str, str]:
    """Return headers with a token of somebody's."""
    return {"Authorization": f"Bearer {api.hub.token(user, scopes=scopes)}"}


def refusal(
    api: Api, kernel_id: str, channel: str = "shell", headers: dict[str, str] | None = None
) -> tuple[int, dict[str, object]]:
    """Return status and problem that the handshake is answered with."""
    with (
        pytest.raises(websockets.InvalidStatus) as caught,
        reach(api, kernel_id, channel, headers),
    ):
        pass
    return caught.value.response.status_code, json.loads(caught.value.response.body or b"{}")


def test_only_the_owner_with_the_right_to_start_gets_through(
    api: Api, kernel: KernelRow, listener: socket.socket
) -> None:
    for headers in ({}, {"Authorization": "Bearer " + "0" * 32}):
        assert refusal(api, kernel.id, headers=headers)[0] == 401
    # A browser's session is a cookie, which any page may send along.
    with api.client("ada") as client:
        cookie = {"Cookie": f"perijove-session={client.headers['Authorization'].split()[1]}"}
    assert refusal(api, kernel.id, headers=cookie)[0] == 401

    status, problem = refusal(api, kernel.id, headers=as_(api, "grace"))
    nothing = refusal(api, "nothing", headers=as_(api, "grace"))
    assert status == nothing[0] == 404
    assert json.dumps(problem).replace(kernel.id, "nothing") == json.dumps(nothing[1])

    # An administrator may stop it, and may not look inside.
    status, problem = refusal(api, kernel.id, headers=as_(api, "admin"))
    assert (status, problem["detail"]) == (403, "This kernel is ada's.")

    reader = as_(api, "ada", ["access:services!service=perijove", scope("read")])
    assert refusal(api, kernel.id, headers=reader)[0] == 403
    elsewhere = as_(
        api, "ada", ["access:services!service=mlflow", *(scope(verb) for verb in VERBS)]
    )
    assert refusal(api, kernel.id, headers=elsewhere)[0] == 403
    with api.context.database.session() as session:
        run = issue_run_token(
            session, user="ada", run_id="r", expires_at=utcnow().replace(year=2999)
        )
    assert refusal(api, kernel.id, headers={"Authorization": f"Bearer {run}"})[0] == 403

    # None of them has come as far as the kernel.
    listener.settimeout(0.2)
    with pytest.raises(TimeoutError):
        listener.accept()
    listener.settimeout(10)

    with reach(api, kernel.id, "iopub", as_(api, "ada")) as link:
        inside, _ = listener.accept()
        with inside:
            hello = json.loads(inside.makefile("rb").readline())
            assert hello == {"secret": secret(api.context, kernel), "channel": "iopub"}
            link.send(b"\x00question")
            assert inside.recv(100) == b"\x00question"
            inside.sendall(b"answer\xff")
            assert link.recv() == b"answer\xff"


def test_there_is_no_way_to_what_is_no_running_kernel(
    api: Api, kernel: KernelRow, listener: socket.socket
) -> None:
    ada = as_(api, "ada")
    assert refusal(api, kernel.id, "debug", ada)[0] == 404
    assert refusal(api, kernel.id, "..%2f..%2fhub", ada)[0] in (403, 404)
    listener.close()
    assert refusal(api, kernel.id, headers=ada)[0] == 503
    with api.context.database.session() as session:
        session.get_one(KernelRow, kernel.id).state = "queued"
    status, problem = refusal(api, kernel.id, headers=ada)
    assert (status, problem["detail"]) == (409, "The kernel is queued.")


def test_a_connection_ends_with_its_token(
    api: Api, kernel: KernelRow, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tunnel, "RECHECK", 0.2)
    monkeypatch.setattr("perijove_hub.identity.FRESH", 0.0)
    ada = as_(api, "ada")
    with reach(api, kernel.id, headers=ada) as link:
        inside, _ = listener.accept()
        with inside:
            time.sleep(0.6)
            link.ping().wait(5)
            tokens = httpx.get(
                f"{api.hub.api_url}/users/ada/tokens",
                headers={"Authorization": f"token {api.hub.data.secret('service-cli')}"},
                trust_env=False,
            ).json()["api_tokens"]
            newest = max(tokens, key=lambda token: token["created"])["id"]
            httpx.delete(
                f"{api.hub.api_url}/users/ada/tokens/{newest}",
                headers={"Authorization": f"token {api.hub.data.secret('service-cli')}"},
                trust_env=False,
            ).raise_for_status()
            with pytest.raises(websockets.ConnectionClosed) as closed:
                link.recv(timeout=10)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1008


def test_who_reads_slowly_slows_down_who_writes(
    api: Api, kernel: KernelRow, listener: socket.socket
) -> None:
    def stuffed(write: socket.socket) -> int:
        write.setblocking(False)
        sent, still = 0, time.monotonic()
        while time.monotonic() - still < 1:
            try:
                sent += write.send(b"x" * 65536)
                still = time.monotonic()
            except BlockingIOError:
                time.sleep(0.01)
            assert sent < 64 * 2**20
        return sent

    with reach(api, kernel.id, headers=as_(api, "ada")) as link:
        inside, _ = listener.accept()
        with inside:
            inside.makefile("rb").readline()
            # The kernel writes and nobody reads: what lies on the way are the sockets' buffers.
            assert stuffed(inside) < 32 * 2**20
            # And the other way round.
            assert stuffed(link.socket) < 32 * 2**20

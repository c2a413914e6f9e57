"""The warm pool with real containers: who waits knows nobody, who is claimed is one user's."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import httpx
import pytest
from sqlalchemy import select, update

from perijove_hub.context import Context
from perijove_hub.engine import Names
from perijove_hub.engine.sandbox import HOME
from perijove_hub.pool import mounting
from perijove_hub.pool.claiming import slots_of
from perijove_hub.pool.duty import PoolDuty
from perijove_hub.store.models import WarmRow
from tests.fixtures.processes import wait_until
from tests.fixtures.product import Product

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

COUNT = 2
SETTINGS = """
[workspaces.warm]
count = {count}

[files.shared.plots]
place = "{folder}"
write = ["research"]

[files.shared.ledgers]
place = "{folder}-risk"
write = ["risk"]
"""


class Pool:
    """A product with a pool, and what the engine and the database say of it."""

    def __init__(self, product: Product, config: Path) -> None:
        self.product = product
        self.context = Context.open(product.data, config)
        self.names = Names.of(self.context.data.root)
        self.engine = docker.from_env()

    def rows(self, state: str) -> list[WarmRow]:
        with self.context.database.reading() as session:
            return list(session.scalars(select(WarmRow).where(WarmRow.state == state)))

    def full(self) -> list[WarmRow]:
        """Wait until as many wait as should."""
        wait_until(lambda: len(self.rows("ready")) == COUNT, seconds=90, what="a full pool")
        return self.rows("ready")

    def container(self, row: WarmRow) -> Any:
        return self.engine.containers.get(row.container)

    def waiting(self) -> set[str]:
        """Ids of all containers that were made to wait, whatever has become of them."""
        label = [f"perijove={self.names.key}", "perijove.kind=pool"]
        found = self.engine.containers.list(all=True, filters={"label": label})
        return {one.id for one in found}

    def run(self, container: Any, script: str) -> str:
        done = container.exec_run(["sh", "-c", script])
        return str(done.output.decode())

    def change(self, row: WarmRow, **values: Any) -> None:
        with self.context.database.session() as session:
            session.execute(
                update(WarmRow).where(WarmRow.container == row.container).values(**values)
            )


@pytest.fixture(scope="module")
def pool(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    folder = tmp_path_factory.mktemp("pool")
    config = folder / "perijove.toml"
    config.write_text(SETTINGS.format(count=COUNT, folder=folder / "plots"))
    with Product.running(folder, "--spawner", "docker", "--config", str(config)) as product:
        pool = Pool(product, config)
        yield pool
    # Ctrl-C has left nothing: no container, no slot, no mount.
    assert pool.waiting() == set()
    assert slots_of(pool.context).names() == set()
    assert mounting.mounted_below(folder) == []
    pool.context.database.close()
    pool.engine.close()


@pytest.fixture
def ada(pool: Pool) -> Iterator[httpx.Client]:
    """ada's client, with a workspace that was claimed."""
    pool.full()
    with Started(pool, "ada") as client:
        yield client


class Started:
    """Run a user's workspace for a while."""

    def __init__(self, pool: Pool, user: str) -> None:
        self.pool, self.user = pool, user
        self.client = pool.product.client(user)

    def __enter__(self) -> httpx.Client:
        self.pool.product.start_server(self.client, self.user)
        return self.client

    def __exit__(self, *_: object) -> None:
        self.client.delete(f"/hub/api/users/{self.user}/server").raise_for_status()
        wait_until(
            lambda: not self.pool.product.server(self.client, self.user),
            seconds=60,
            what="the workspace's end",
        )
        self.client.close()


def claimed(pool: Pool, user: str) -> WarmRow:
    return next(row for row in pool.rows("claimed") if row.claimed_by == f"{user}/")


def test_who_waits_knows_nobody_and_has_left_no_trace(pool: Pool) -> None:
    for row in pool.full():
        container = pool.container(row)
        inspected = json.dumps(container.attrs)
        for word in ("JUPYTERHUB", "TOKEN", "MLFLOW", "PERIJOVE_URL", "/homes/"):
            assert word not in inspected
        mounts = {mount["Destination"]: mount["RW"] for mount in container.attrs["Mounts"]}
        assert mounts == {HOME: True, "/shared": False, "/run/perijove": False}
        processes = [line[-1] for line in container.top(ps_args="-eo pid,args")["Processes"]]
        assert [line.split("/")[-1] for line in processes] == [
            "docker-init -- python -m perijove.warm",
            "python -m perijove.warm",
        ]
        # The pipe's end: whoever waits can do nothing but read from it.
        listed = pool.run(container, f"ls -A {HOME} /shared /tmp")
        assert listed == f"{HOME}:\n\n/shared:\n\n/tmp:\n"
        script = f"touch {HOME}/x; touch /shared/x; echo '{{}}' >/run/perijove/claim"
        assert pool.run(container, script).count("annot") == 3
        # Of the image nothing has changed but that there are places for what is mounted.
        changed = {change["Path"] for change in container.diff()}
        init = {"/usr", "/usr/sbin", "/usr/sbin/docker-init"}
        assert changed <= {"/home", HOME, "/shared", "/run", "/run/perijove"} | init
        assert pool.run(container, "tr '\\0' '\\n' </proc/1/environ | cut -d= -f1 | sort") == (
            "HOME\nHOSTNAME\nLANG\nPATH\nPIP_DISABLE_PIP_VERSION_CHECK\nPIP_USER\n"
            "PYTHONDONTWRITEBYTECODE\n"
        )


def test_who_waits_is_limited_like_any_workspace(pool: Pool) -> None:
    host = pool.container(pool.full()[0]).attrs["HostConfig"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["ReadonlyRootfs"]
    assert host["PidsLimit"] == 2048
    assert host["Memory"] == host["MemorySwap"] == 2048 * 2**20
    assert host["CpuQuota"] == 100_000
    assert host["NetworkMode"] == pool.names.network


def test_a_start_takes_one_and_makes_it_the_users(pool: Pool, ada: httpx.Client) -> None:
    row = claimed(pool, "ada")
    container = pool.container(row)
    assert container.name == pool.names.container("w", "ada", "")
    assert ada.get("/user/ada/lab").status_code == 200
    assert ada.get("/user/ada/perijove/api/whoami").json()["name"] == "ada"
    # Nothing that inspects the container or lists its processes sees the token.
    assert "JUPYTERHUB" not in json.dumps(container.attrs)
    lines = [line[-1] for line in container.top(ps_args="-eo pid,args")["Processes"]]
    assert [line.split("/")[-1] for line in lines] == [
        "docker-init -- python -m perijove.warm",
        "python -m perijove.warm",
    ]
    script = "id -G; ls /shared; touch /shared/plots/x && echo wrote; ls /run/perijove"
    groups, *rest = pool.run(container, script).splitlines()
    assert rest == ["plots", "wrote"]
    assert {"1000"} < set(groups.split())
    assert container.attrs["HostConfig"]["CpuShares"] == 1024
    # And the pool fills up again, with another one.
    assert row.container not in {other.container for other in pool.full()}


def test_two_users_get_two_and_see_only_their_own(pool: Pool, ada: httpx.Client) -> None:
    first = claimed(pool, "ada")
    write = {"type": "file", "format": "text", "content": "mine"}
    ada.put("/user/ada/api/contents/secret.txt", json=write).raise_for_status()
    pool.full()
    with Started(pool, "grace") as grace:
        second = claimed(pool, "grace")
        assert second.container != first.container
        assert second.slot != first.slot
        listed = grace.get("/user/grace/api/contents").json()["content"]
        assert "secret.txt" not in [item["name"] for item in listed]
        container = pool.container(second)
        assert pool.run(container, "ls /shared") == "ledgers\n"
        assert "ada" not in pool.run(container, "cat /proc/mounts")
        # Its own token opens nothing of ada's.
        assert grace.get("/user/ada/api/contents").status_code in (403, 404)
    assert (pool.product.data / "homes" / "ada" / "secret.txt").read_text() == "mine"


def test_one_that_was_used_is_gone_with_its_slot_and_the_home_stays(pool: Pool) -> None:
    pool.full()
    with Started(pool, "ada") as client:
        row = claimed(pool, "ada")
        write = {"type": "file", "format": "text", "content": "kept"}
        client.put("/user/ada/api/contents/kept.txt", json=write).raise_for_status()
    wait_until(
        lambda: not any(row.container == other.container for other in pool.rows("claimed")),
        what="the clearing up",
    )
    slots = slots_of(pool.context)
    assert row.container not in pool.waiting()
    assert row.slot not in slots.names()
    root = pool.product.data / "slots"
    assert [path for path in mounting.mounted_below(root) if row.slot in str(path)] == []
    assert (pool.product.data / "homes" / "ada" / "kept.txt").read_text() == "kept"


def replaced(pool: Pool, spoil: Callable[[WarmRow], object]) -> None:
    """Spoil one that waits; another one waits instead, and nothing is left of the first."""
    row = pool.full()[0]
    spoil(row)
    wait_until(
        lambda: (
            row.container not in {other.container for other in pool.rows("ready")}
            and len(pool.rows("ready")) == COUNT
        ),
        seconds=60,
        what="another one",
    )
    wait_until(lambda: row.container not in pool.waiting(), what="the container's end")
    wait_until(lambda: row.slot not in slots_of(pool.context).names(), what="the slot's end")


def test_what_has_died_or_does_not_fit_any_more_is_replaced(pool: Pool) -> None:
    replaced(pool, lambda row: pool.container(row).remove(force=True))
    replaced(pool, lambda row: pool.container(row).kill())
    replaced(pool, lambda row: pool.change(row, recipe="of other settings"))
    # Claimed by a Hub that was killed before it told the container anything.
    then = pool.full()[0].created_at.replace(year=2020)
    replaced(
        pool,
        lambda row: pool.change(row, state="claimed", claimed_by="eve/", claimed_at=then),
    )


def test_what_a_killed_worker_left_is_cleared_away(pool: Pool) -> None:
    def forget(row: WarmRow) -> None:
        with pool.context.database.session() as session:
            session.delete(session.get_one(WarmRow, row.container))

    replaced(pool, forget)
    slots = slots_of(pool.context)
    left = slots.make()
    wait_until(lambda: left not in slots.names(), what="the slot's end")
    pool.full()


def test_what_waits_is_removed_where_another_worker_leads_and_users_keep_theirs(
    image: str, context: Context
) -> None:
    names, slots, engine = Names.of(context.data.root), slots_of(context), docker.from_env()
    (context.data.root / "slots").mkdir()
    waiting, users = slots.make(), slots.make()
    containers: list[Any] = []
    try:
        for slot, name in (
            (waiting, names.container("pool", waiting)),
            # Its claim has renamed it.
            (users, names.container("w", "ada", "")),
        ):
            labels = {**names.labels, "perijove.slot": slot}
            made = engine.containers.create(image, ["sleep", "60"], name=name, labels=labels)
            containers.append(made)
        # Whoever leads has other rows by now, which stay as they are.
        PoolDuty(context).abandon()
        with pytest.raises(docker.errors.NotFound):
            engine.containers.get(containers[0].id)
        assert engine.containers.get(containers[1].id).id
        assert slots.names() == {users}
    finally:
        for container in containers:
            with contextlib.suppress(docker.errors.NotFound):
                engine.api.remove_container(container.id, force=True)
        engine.close()

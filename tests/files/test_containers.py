"""What people do with shared folders in real containers, and what they cannot."""

from __future__ import annotations

import contextlib
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import httpx
import pytest

from perijove_hub import files
from perijove_hub.context import Context
from perijove_hub.files import volumes
from perijove_hub.files.places import Nfs
from perijove_hub.paths import DataDir
from perijove_hub.settings import Settings, SharedFolderSettings
from perijove_hub.store.migrate import upgrade
from perijove_hub.store.models import ImageRow, ImageVersionRow
from tests.files.conftest import Containers, run, volume_path

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]


def place(context: Context, name: str) -> Path:
    """Where a shared folder is on the host."""
    return Path(context.settings.files.shared[name].place)


def test_what_one_writes_another_changes_whatever_their_umask(containers: Containers) -> None:
    ada = containers.idle("ada", ["research"])
    status, said = run(
        ada,
        "umask 077; cd ~/shared/team && echo ada > report.txt && mkdir -p sub/deep "
        "&& echo ada > sub/deep/x",
    )
    assert status == 0, said
    team = place(containers.context, "team")
    gid = team.stat().st_gid
    assert gid >= 30_000
    for path in (team / "report.txt", team / "sub" / "deep" / "x"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert path.stat().st_gid == gid
    assert stat.S_IMODE((team / "sub").stat().st_mode) == 0o2770
    # Somebody with another number, as other images have, in the folder's group only.
    status, said = run(
        ada,
        "cd /shared/team && echo two >> report.txt && echo two >> sub/deep/x && echo n > sub/new "
        "&& mv report.txt sub/",
        user=f"4321:{gid}",
    )
    assert status == 0, said
    assert run(ada, "echo back >> /shared/team/sub/new; cat ~/shared/team/sub/report.txt") == (
        0,
        "ada\ntwo",
    )
    # And who is not in the group has no way in.
    assert stat.S_IMODE(team.stat().st_mode) == 0o2770


def test_readers_read_and_others_see_nothing(containers: Containers) -> None:
    ada = containers.idle("ada", ["research"])
    run(ada, "umask 077; echo figures > /shared/team/read-me")
    grace = containers.idle("grace", ["risk"])
    assert run(grace, "cat ~/shared/team/read-me") == (0, "figures")
    for attempt in (
        "echo x > /shared/team/mine",
        "rm -f /shared/team/read-me",
        "chmod 777 /shared/team/read-me",
        "mount -o remount,rw /shared/team",
        "echo x > /shared/data/mine",
    ):
        assert run(grace, attempt)[0] != 0, attempt
    assert run(grace, "ls /shared")[1].split() == ["data", "team"]
    eve = containers.idle("eve", [])
    assert run(eve, "ls /shared")[1].split() == ["data"]
    assert place(containers.context, "secret").exists() is False


def test_membership_counts_at_the_next_start(containers: Containers) -> None:
    for groups, sees in ((["research"], "team"), ([], ""), (["board"], "secret")):
        container = containers.idle("bob", groups)
        assert run(container, "ls /shared")[1].split() == sorted(filter(None, ["data", sees]))


def notebook(text: str) -> dict[str, Any]:
    cell = {"id": "a", "cell_type": "markdown", "metadata": {}, "source": text}
    content = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    return {"type": "notebook", "format": "json", "content": content}


@pytest.fixture(scope="module")
def two(containers: Containers) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """Servers of two members with different umasks; the first has a home from before."""
    old = files.home_of(containers.context, "ida")
    assert old is not None
    files.furnish(containers.context, "ida", None)
    (old / "shared").unlink()
    with (
        containers.server("ida", ["research"], umask="077") as ida,
        containers.server("jo", ["research"], umask="022") as jo,
    ):
        yield ida, jo


def test_two_people_save_one_notebook(
    containers: Containers, two: tuple[httpx.Client, httpx.Client]
) -> None:
    ida, jo = two
    path = "api/contents/shared/team/plan.ipynb"
    seen = []
    for client, text in ((ida, "ida's"), (jo, "jo's"), (ida, "ida's again")):
        saved = client.put(path, json=notebook(text))
        assert saved.status_code in (200, 201), saved.text
        assert client.post(f"{path}/checkpoints").status_code == 201
        seen.append(saved.json()["last_modified"])
        assert saved.json()["writable"]
    # JupyterLab compares this with what it opened, and asks before it overwrites.
    for client in two:
        now = client.get(path, params={"content": 0}).json()["last_modified"]
        assert now == seen[-1] > seen[0]
    team = place(containers.context, "team")
    assert stat.S_IMODE((team / "plan.ipynb").stat().st_mode) == 0o660
    assert [one.name for one in team.rglob("*checkpoint*")] == []
    jo.post(f"{path}/checkpoints/checkpoint").raise_for_status()
    found = ida.get(path).json()["content"]["cells"][0]["source"]
    assert found == "jo's"
    names = [one["name"] for one in ida.get("api/contents/shared/team").json()["content"]]
    assert "plan.ipynb" in names
    renamed = jo.patch(path, json={"path": "shared/team/plan 2.ipynb"})
    assert renamed.status_code == 200, renamed.text
    assert ida.delete("api/contents/shared/team/plan 2.ipynb").status_code == 204
    assert not (team / "plan 2.ipynb").exists()


def test_the_file_browser_shows_shared_folders(two: tuple[httpx.Client, httpx.Client]) -> None:
    for client in two:
        listed = client.get("api/contents/shared").json()
        assert listed["type"] == "directory"
        assert {one["name"]: one["writable"] for one in listed["content"]} == {
            "data": False,
            "team": True,
        }


@pytest.fixture
def away(tmp_path: Path, image: str) -> Iterator[tuple[Context, docker.DockerClient]]:
    """A context without folders, and the engine; its volumes are removed afterwards."""
    context = Context(Settings(), DataDir.open(tmp_path / "data"))
    upgrade(context.database)
    with contextlib.closing(docker.from_env()) as client:
        with context.database.session() as session:
            row = ImageRow(name="cpu", owner="perijove", visibility="everyone", current=1)
            session.add(row)
            session.flush()
            digest = client.images.get(image).id
            session.add(
                ImageVersionRow(image_id=row.id, version=1, digest=digest, created_by="perijove")
            )
        try:
            yield context, client
        finally:
            key = volumes.Names.of(context.data.root).key
            for volume in client.volumes.list(filters={"label": f"perijove={key}"}):
                volume.remove()
            context.database.close()


def test_an_nfs_export_is_a_volume_with_its_options(
    away: tuple[Context, docker.DockerClient],
) -> None:
    context, client = away
    context.settings.files.homes = "nfs://files.example/homes/"
    context.settings.files.shared = {
        "team": SharedFolderSettings(place="nfs://[fd00::1]/team", read=["risk"])
    }
    assert files.home_of(context, "ada") is None
    home, team = files.mounts(context, user="Ada L", groups=["risk"])
    options = client.volumes.get(home.source).attrs
    assert options["Driver"] == "local"
    assert options["Options"] == {
        "type": "nfs",
        "o": "addr=files.example,rw,nosuid,nodev,nfsvers=4",
        "device": ":/homes/.41da.20.4c",
    }
    assert (home.target, home.read_only) == ("/home/perijove", False)
    assert client.volumes.get(team.source).attrs["Options"]["o"].startswith("addr=fd00::1,")
    assert (team.target, team.read_only) == ("/shared/team", True)
    # The same again, and another place another volume.
    assert files.mounts(context, user="Ada L", groups=["risk"]) == [home, team]
    context.settings.files.homes = "nfs://other.example/homes"
    assert files.mounts(context, user="Ada L", groups=[])[0].source != home.source
    assert files.gids(context, groups=["risk"]) == []


def test_a_home_in_an_export_is_made_from_a_container(
    away: tuple[Context, docker.DockerClient],
) -> None:
    # A plain volume stands for the export: no NFS server is to be had here.
    context, client = away
    name = f"perijove-test-{secrets.token_hex(4)}"
    volume = client.volumes.create(name, labels=volumes.Names.of(context.data.root).labels)
    path = volume_path(client, volume.name)
    with pytest.raises(files.FilesError, match="Permission denied"):
        volumes.make_home_in(context, volume.name, "ada")
    path.chmod(0o777)
    volumes.make_home_in(context, volume.name, "ada")
    home = path / "ada"
    assert (home.stat().st_uid, stat.S_IMODE(home.stat().st_mode)) == (1000, 0o700)
    (home / "work").touch()
    volumes.make_home_in(context, volume.name, "ada")
    assert {one.name for one in home.iterdir()} == {"work", "shared"}
    assert [one.name for one in path.iterdir()] == ["ada"]


def test_an_nfs_server_that_is_not_there_is_said_so(
    away: tuple[Context, docker.DockerClient],
) -> None:
    context, _ = away
    with pytest.raises(files.FilesError, match=r"NFS export"):
        volumes.make_home(context, Nfs("127.0.0.1", "/none"), "ada")


def test_a_volume_of_the_engine_is_shared(
    away: tuple[Context, docker.DockerClient], image: str
) -> None:
    context, client = away
    name = f"perijove-test-{secrets.token_hex(4)}"
    context.settings.files.shared = {
        "lake": SharedFolderSettings(place=f"volume:{name}", write=["research"])
    }
    found = Containers(context, client, image, "none")
    try:
        ada = found.idle("ada", ["research"])
        assert run(ada, "umask 077; echo 1 > /shared/lake/x") == (0, "")
        made = volume_path(client, name)
        assert stat.S_IMODE((made / "x").stat().st_mode) == 0o660
        assert files.gids(context, groups=["research"]) == [made.stat().st_gid]
        assert files.gids(context, groups=["risk"]) == []
    finally:
        found.remove()


def test_a_volume_of_somebody_else_keeps_its_rights(
    away: tuple[Context, docker.DockerClient],
) -> None:
    context, client = away
    name = f"perijove-test-{secrets.token_hex(4)}"
    client.volumes.create(name)
    try:
        context.settings.files.shared = {
            "lake": SharedFolderSettings(place=f"volume:{name}", write=["research"])
        }
        before = volume_path(client, name).stat()
        files.mounts(context, user="ada", groups=["research"])
        after = volume_path(client, name).stat()
        assert (before.st_mode, before.st_gid) == (after.st_mode, after.st_gid)
    finally:
        client.volumes.get(name).remove()

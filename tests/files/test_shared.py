"""Shared folders on the host: how they are made, and what is left alone."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from perijove_hub import files
from perijove_hub.context import Context
from perijove_hub.files import places, shared
from perijove_hub.files.acl import share_with_group
from perijove_hub.settings import Settings, SettingsError, SharedFolderSettings, load
from perijove_hub.store.models import SharedFolderRow

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="giving a folder to a group takes root")


def folder(context: Context, name: str, place: Path, **groups: list[str]) -> None:
    """Configure a shared folder."""
    context.settings.files.shared[name] = SharedFolderSettings(place=str(place), **groups)


@pytest.fixture(autouse=True)
def _own_settings(context: Context) -> None:
    context.settings.files.shared = {}


def seen(context: Context, *groups: str) -> list[tuple[str, bool]]:
    """What members of ``groups`` see, and whether only to read."""
    found = files.mounts(context, user="ada", groups=groups)
    return [(mount.target, mount.read_only) for mount in found[1:]]


def test_who_writes_who_reads_and_who_sees_nothing(context: Context, tmp_path: Path) -> None:
    folder(context, "team", tmp_path / "team", write=["research"], read=["risk"])
    folder(context, "data", tmp_path / "open", read=["*"])
    folder(context, "closed", tmp_path / "closed")
    assert seen(context, "research") == [("/shared/data", True), ("/shared/team", False)]
    assert seen(context, "risk") == [("/shared/data", True), ("/shared/team", True)]
    assert seen(context, "risk", "research")[1] == ("/shared/team", False)
    assert seen(context) == [("/shared/data", True)]
    # Closed by default: a group that only looks alike sees nothing.
    assert seen(context, "research2", "Research", "") == [("/shared/data", True)]


@as_root
def test_each_folder_has_a_group_of_its_own(context: Context, tmp_path: Path) -> None:
    for name in ("one", "two"):
        folder(context, name, tmp_path / "srv" / name, write=["research"])
    files.mounts(context, user="ada", groups=["research"])
    made = [(tmp_path / "srv" / name).stat() for name in ("one", "two")]
    assert [one.st_gid for one in made] == [30_000, 30_001]
    assert files.gids(context, groups=["research"]) == [30_000, 30_001]
    assert files.gids(context, groups=["risk"]) == []
    for one in made:
        assert (one.st_uid, stat.S_IMODE(one.st_mode)) == (0, 0o2770)
    assert sorted(path.name for path in (tmp_path / "srv").iterdir()) == ["one", "two"]


@as_root
def test_a_folder_that_was_there_keeps_its_rights(context: Context, tmp_path: Path) -> None:
    place = tmp_path / "theirs"
    place.mkdir(mode=0o755)
    os.chown(place, 0, 4711)
    folder(context, "theirs", place, write=["research"])
    files.mounts(context, user="ada", groups=["research"])
    assert (place.stat().st_gid, stat.S_IMODE(place.stat().st_mode)) == (4711, 0o755)
    assert files.gids(context, groups=["research"]) == [4711]
    # A group of the host's own, such as docker or disk, is given to nobody.
    os.chown(place, 0, 998)
    assert files.gids(context, groups=["research"]) == []


def test_nobody_shares_the_data_directory(context: Context) -> None:
    root = context.data.root
    for place in (root, root / "secrets", root.parent, Path("/")):
        folder(context, "x", place, read=["*"])
        with pytest.raises(files.FilesError, match="secrets"):
            files.mounts(context, user="ada", groups=[])


def test_nobody_shares_the_homes(context: Context, tmp_path: Path) -> None:
    context.settings.files.homes = str(tmp_path / "srv" / "homes")
    for place in (tmp_path / "srv", tmp_path / "srv" / "homes" / "ada"):
        folder(context, "x", place, read=["*"])
        with pytest.raises(files.FilesError, match="homes"):
            files.mounts(context, user="ada", groups=[])


def test_a_link_to_the_data_directory_is_seen_through(context: Context, tmp_path: Path) -> None:
    (tmp_path / "innocent").symlink_to(context.data.root)
    folder(context, "x", tmp_path / "innocent" / "secrets", read=["*"])
    with pytest.raises(files.FilesError, match="secrets"):
        files.mounts(context, user="ada", groups=[])


def test_what_cannot_be_made_says_so(context: Context, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder(context, "x", tmp_path / "file" / "x", read=["*"])
    with pytest.raises(files.FilesError, match=r"files\.shared\.x: .* cannot be made"):
        files.mounts(context, user="ada", groups=[])


def test_a_file_system_without_lists_is_said_so() -> None:
    with pytest.raises(files.FilesError, match="no POSIX access lists"):
        share_with_group(Path("/proc/self"))


def test_two_starts_at_once_give_out_one_number_each(context: Context) -> None:
    names = [f"folder-{number % 4}" for number in range(16)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda name: shared._number(context, name), names))
    assert len(set(found)) == 4
    assert len(set(zip(names, found, strict=True))) == 4
    with context.database.reading() as session:
        assert session.query(SharedFolderRow).count() == 4


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("/srv/x", places.Folder(Path("/srv/x"))),
        ("nfs://server/", places.Nfs("server", "/")),
        ("nfs://10.0.0.1/a/b/", places.Nfs("10.0.0.1", "/a/b")),
        ("nfs://[fd00::1]/a", places.Nfs("fd00::1", "/a")),
        ("volume:team-1", places.Volume("team-1")),
    ],
)
def test_places_are_read(text: str, place: places.Place) -> None:
    assert places.shared(text) == place


@pytest.mark.parametrize(
    "text",
    [
        "",
        "srv/x",
        "/srv/../etc",
        "/srv/\0",
        "nfs://server",
        "nfs:///x",
        "nfs://server,exec/x",
        "nfs://server/x,dev",
        "nfs://server/a/../b",
        "nfs://user@server/x",
        "volume:",
        "volume:../x",
        "volume:/x",
        "s3://bucket",
    ],
)
def test_what_is_no_place_is_refused_when_the_settings_are_read(tmp_path: Path, text: str) -> None:
    config = tmp_path / "perijove.toml"
    escaped = text.replace("\0", "\\u0000")
    config.write_text(f'[files.shared.team]\nplace = "{escaped}"\n')
    with pytest.raises(SettingsError, match=r"perijove.toml:2: files\.shared\.team\.place"):
        load(config)


def test_homes_are_not_one_volume(tmp_path: Path) -> None:
    config = tmp_path / "perijove.toml"
    config.write_text('[files]\nhomes = "volume:homes"\n')
    with pytest.raises(SettingsError, match=r"perijove.toml:2: files\.homes"):
        load(config)
    assert Settings().files.homes is None

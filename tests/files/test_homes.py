"""Homes: made once, in one step, and nothing of ours written into them afterwards."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from perijove.server.shared_folders import link
from perijove_hub import files
from perijove_hub.context import Context
from perijove_hub.engine import Mount
from perijove_hub.files.homes import folder_name, local_homes
from perijove_hub.settings import SharedFolderSettings


def home_of(context: Context, user: str) -> Path:
    """The home on the host."""
    home = files.home_of(context, user)
    assert home is not None
    return home


@pytest.fixture
def tutorial(tmp_path: Path) -> Path:
    """A notebook for new homes."""
    path = tmp_path / "tutorial.ipynb"
    path.write_text("hello")
    return path


def test_a_home_is_made_with_the_tutorial_for_the_containers_user(
    context: Context, tutorial: Path
) -> None:
    files.furnish(context, "ada", tutorial)
    home = home_of(context, "ada")
    assert home == context.data.homes / "ada"
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    wanted = 1000 if os.geteuid() == 0 else os.geteuid()
    assert {home.stat().st_uid, (home / "tutorial.ipynb").stat().st_uid} == {wanted}
    assert [path.name for path in home.iterdir()] == ["tutorial.ipynb"]
    assert files.mounts(context, user="ada", groups=[]) == [Mount(str(home), "/home/perijove")]


def test_the_link_to_shared_folders_is_there_where_there_are_any(context: Context) -> None:
    context.settings.files.shared = {"x": SharedFolderSettings(place="/srv/x")}
    files.furnish(context, "ada", None)
    assert (home_of(context, "ada") / "shared").readlink() == Path("/shared")


def test_a_home_that_is_there_is_left_alone(context: Context, tutorial: Path) -> None:
    context.settings.files.shared = {"x": SharedFolderSettings(place="/srv/x")}
    files.furnish(context, "ada", None)
    home = home_of(context, "ada")
    (home / "shared").unlink()
    files.furnish(context, "ada", tutorial)
    assert list(home.iterdir()) == []


def test_a_link_in_a_homes_place_is_not_followed(
    context: Context, tutorial: Path, tmp_path: Path
) -> None:
    target = tmp_path / "elsewhere"
    target.mkdir()
    home_of(context, "eve").symlink_to(target)
    with pytest.raises(files.FilesError, match="belongs to user"):
        # The link's own owner counts, not that of what it leads to.
        os.chown(target, 1000, 1000)
        files.furnish(context, "eve", tutorial)
    assert list(target.iterdir()) == []


def test_a_home_of_local_workspaces_says_how_to_give_it_over(context: Context) -> None:
    home_of(context, "ada").mkdir()
    with pytest.raises(files.FilesError, match=r"chown -R 1000:1000"):
        files.furnish(context, "ada", None)


def test_homes_are_where_the_settings_say(context: Context, tmp_path: Path) -> None:
    place = tmp_path / "big disk {x}" / "homes"
    context.settings.files.homes = str(place)
    files.furnish(context, "ada", None)
    assert (place / "ada").is_dir()
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert local_homes(context) == place
    (tmp_path / "file").touch()
    context.settings.files.homes = str(tmp_path / "file")
    with pytest.raises(files.FilesError, match=r"Mend \[files\] homes"):
        files.furnish(context, "ada", None)


def test_local_workspaces_have_no_homes_on_nfs(context: Context) -> None:
    context.settings.files.homes = "nfs://server/homes"
    with pytest.raises(files.FilesError, match="Mount the export"):
        local_homes(context)


def test_the_longest_names_have_homes_of_their_own(context: Context) -> None:
    names = ["ü" * 120, "ü" * 120 + "x", "u" * 255, "../" * 80, "a"]
    folders = {folder_name(name) for name in names}
    assert len(folders) == len(names)
    for name in names:
        files.furnish(context, name, None)
        assert home_of(context, name).parent == context.data.homes
    assert len(list(context.data.homes.iterdir())) == len(names)


def test_the_server_links_older_homes_and_leaves_what_is_there(tmp_path: Path) -> None:
    home, shared = tmp_path / "home", tmp_path / "shared"
    home.mkdir()
    link(home, shared)
    assert list(home.iterdir()) == []
    shared.mkdir()
    link(home, shared)
    assert (home / "shared").readlink() == shared
    link(home, shared)
    (home / "shared").unlink()
    (home / "shared").mkdir()
    link(home, shared)
    assert not (home / "shared").is_symlink()
    link(tmp_path / "missing", shared)


def test_files_load_without_the_engines_client() -> None:
    # The client of the engine is an extra; homes of local workspaces need it as little.
    script = "import sys, perijove_hub.files; print('docker' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr

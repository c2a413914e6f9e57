"""How large a home is, and what follows from it."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from perijove_hub import files
from perijove_hub.context import Context
from perijove_hub.files import limit, measure
from perijove_hub.files.duty import HomeDuty
from perijove_hub.store.models import WorkspaceRow, utcnow
from tests.fixtures.api import Api

MB = 2**20


def fill(path: Path, size: int) -> None:
    """Write ``size`` bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)


def test_what_lies_in_a_folder_counts_once_and_links_do_not(tmp_path: Path) -> None:
    home, outside = tmp_path / "home", tmp_path / "outside"
    fill(outside / "big", 8 * MB)
    fill(home / "data" / "deep" / "x", 2 * MB)
    fill(home / "y", MB)
    os.link(home / "y", home / "again")
    (home / "out").symlink_to(outside)
    (home / "loop").symlink_to(home)
    with (home / "sparse").open("wb") as file:
        file.truncate(10**12)
    found = measure.home(home, 5)
    assert found.complete
    assert 3 * MB <= found.bytes < 3 * MB + 100_000
    assert found.largest(1)[0][0] == "data"


def test_a_home_that_is_a_link_or_nothing_is_empty(tmp_path: Path) -> None:
    fill(tmp_path / "outside" / "x", MB)
    (tmp_path / "home").symlink_to(tmp_path / "outside")
    assert measure.home(tmp_path / "home", 5).bytes == 0
    assert measure.home(tmp_path / "none", 5).bytes == 0


def test_hostile_trees_end_in_time(tmp_path: Path) -> None:
    at = tmp_path / "deep"
    at.mkdir()
    # Deeper than Python recurses and than a path may be long.
    descriptor = os.open(at, os.O_RDONLY)
    for _ in range(400):
        os.mkdir("d", dir_fd=descriptor)
        inner = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(descriptor)
    fill(tmp_path / "x", MB)
    found = measure.home(tmp_path, 5)
    assert not found.complete
    assert found.bytes >= MB
    for number in range(3000):
        (tmp_path / f"{number}").touch()
    begun = time.monotonic()
    assert not measure.home(tmp_path, 0.0).complete
    assert time.monotonic() - begun < 1
    # shutil's own would recurse too deep, now and when pytest cleans up.
    subprocess.run(["rm", "-rf", str(tmp_path / "deep")], check=True)


@pytest.fixture
def home(context: Context) -> Path:
    """ada's home, and her running workspace; homes may hold 100 MiB."""
    context.settings.workspaces.home_mb = 100
    files.furnish(context, "ada", None)
    with context.database.session() as session:
        session.add(WorkspaceRow(user="ada", started_at=utcnow()))
        session.add(WorkspaceRow(user="ada", server="second", ended_at=utcnow()))
        session.add(WorkspaceRow(user="grace", started_at=utcnow(), ended_at=utcnow()))
    found = files.home_of(context, "ada")
    assert found is not None
    return found


def over(context: Context, user: str = "ada") -> str | None:
    """Ask as the spawner does."""
    with context.database.reading() as session:
        return files.over_limit(context, session, user)


def test_above_the_limit_nothing_starts_until_there_is_room(context: Context, home: Path) -> None:
    assert over(context) is None
    fill(home / "models" / "old.bin", 80 * MB)
    fill(home / "data.csv", 30 * MB)
    assert over(context) is None  # Nobody has looked yet.
    HomeDuty(context).tick()
    reason = over(context)
    assert reason is not None
    assert "holds 110 MiB and may hold 100 MiB" in reason
    assert "models (80 MiB), data.csv (30 MiB)" in reason
    assert over(context, "grace") is None
    # Looked at again at the next start: what was deleted counts at once.
    (home / "models" / "old.bin").unlink()
    assert over(context) is None


def test_who_asks_again_and_again_holds_nobody_up(
    context: Context, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(home / "data.csv", 110 * MB)
    HomeDuty(context).tick()
    # While a home is looked at, for seconds, its user asks again: the look does not begin twice.
    looks = []

    def look(path: Path, budget: float) -> measure.Measured:
        looks.append(over(context))
        return measure.Measured(120 * MB)

    monkeypatch.setattr(measure, "home", look)
    reason = over(context)
    assert reason is not None
    assert "holds 120 MiB" in reason
    assert [one is not None and "holds 110 MiB" in one for one in looks] == [True]


def test_the_worker_notes_it_for_all_servers_of_running_users(context: Context, home: Path) -> None:
    HomeDuty(context).tick()
    with context.database.reading() as session:
        found = {(row.user, row.server): row.home_bytes for row in session.query(WorkspaceRow)}
    assert found["ada", ""] == found["ada", "second"]
    assert found["ada", ""] is not None
    assert found["grace", ""] is None


def test_a_warning_comes_at_nine_tenths(context: Context, home: Path) -> None:
    def usage() -> tuple[int | None, str | None]:
        with context.database.reading() as session:
            found = limit.usage(context, session, "ada")
        assert found.limit_bytes == 100 * MB
        return found.home_bytes, found.warning

    assert usage() == (None, None)
    fill(home / "x", 85 * MB)
    HomeDuty(context).tick()
    assert usage()[1] is None
    fill(home / "y", 6 * MB)
    HomeDuty(context).tick()
    size, warning = usage()
    assert size is not None
    assert size >= 91 * MB
    assert warning is not None
    assert "91 MiB of 100 MiB" in warning


def test_the_api_tells_each_their_own(api: Api) -> None:
    with api.context.database.session() as session:
        session.add(WorkspaceRow(user="ada", home_bytes=19 * 2**30))
    with api.client("ada") as ada, api.client("grace") as grace:
        mine, theirs = ada.get("/files/usage").json(), grace.get("/files/usage").json()
    assert mine["home_bytes"] == 19 * 2**30
    assert "19.0 GiB of 20.0 GiB" in mine["warning"]
    assert theirs == {"home_bytes": None, "limit_bytes": 20 * 2**30, "warning": None}


def test_odd_names_in_the_reason_are_shown_as_text(context: Context, home: Path) -> None:
    fill(home / "a\n\x1b[31mb", 101 * MB)
    HomeDuty(context).tick()
    reason = over(context)
    assert reason is not None
    assert reason.isprintable()

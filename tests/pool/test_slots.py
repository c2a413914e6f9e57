"""What a slot shows appears in it alone, and clearing up touches nobody's files."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from perijove_hub.engine.sandbox import HOME, Mount
from perijove_hub.pool import mounting
from perijove_hub.pool.slots import Slots

if os.geteuid() != 0:
    pytest.skip("only root mounts", allow_module_level=True)


@pytest.fixture
def slots(tmp_path: Path) -> Iterator[Slots]:
    slots = Slots(tmp_path / "slots")
    slots.open()
    yield slots
    for name in slots.names():
        slots.remove(name)
    slots.close()
    assert mounting.mounted_below(tmp_path) == []


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "ada home"
    home.mkdir()
    (home / "work.ipynb").write_text("mine")
    return home


def test_a_new_slot_is_empty(slots: Slots, tmp_path: Path) -> None:
    slot = tmp_path / "slots" / slots.make()
    assert sorted(path.name for path in slot.iterdir()) == ["door", "home", "shared"]
    assert list((slot / "home").iterdir()) == list((slot / "shared").iterdir()) == []
    assert [path.name for path in (slot / "door").iterdir()] == ["claim"]
    for folder in slot.iterdir():
        status = folder.stat()
        assert (status.st_uid, status.st_mode & 0o777) == (0, 0o755)


def test_opening_twice_mounts_once(slots: Slots, tmp_path: Path) -> None:
    slots.open()
    assert len(mounting.mounted_below(tmp_path)) == 1


def test_what_is_read_only_is_so_before_anyone_can_see_it(
    slots: Slots, home: Path, tmp_path: Path
) -> None:
    name = slots.make()
    shared = tmp_path / "plots"
    shared.mkdir()
    slots.fill(name, [Mount(str(shared), "/shared/plots", True), Mount(str(home), HOME)])
    slot = tmp_path / "slots" / name
    assert (slot / "home" / "work.ipynb").read_text() == "mine"
    (slot / "home" / "more").write_text("x")
    with pytest.raises(OSError, match="Read-only"):
        (slot / "shared" / "plots" / "x").touch()
    # The stage is gone again.
    assert list((tmp_path / "slots-stage").iterdir()) == []
    assert [path for path in mounting.mounted_below(tmp_path) if "stage" in str(path)] == []


def test_removing_a_slot_leaves_the_home_as_it_is(slots: Slots, home: Path, tmp_path: Path) -> None:
    name = slots.make()
    slots.fill(name, [Mount(str(home), HOME)])
    # Somebody uses it still, as a container that is just going does.
    with (home / "work.ipynb").open() as used:
        slots.remove(name)
        assert used.read() == "mine"
    assert slots.names() == set()
    assert [path.name for path in home.iterdir()] == ["work.ipynb"]
    slots.remove(name)


def test_a_slot_with_something_that_is_not_its_own_refuses_to_go(
    slots: Slots, home: Path, tmp_path: Path
) -> None:
    name = slots.make()
    stray = tmp_path / "slots" / name / "home" / "stray"
    stray.write_text("whose is this?")
    with pytest.raises(OSError, match="not empty"):
        slots.remove(name)
    assert stray.read_text() == "whose is this?"
    stray.unlink()
    slots.remove(name)


def test_a_mount_point_within_the_shared_folder_is_never_a_users_link(
    slots: Slots, home: Path, tmp_path: Path
) -> None:
    name = slots.make()
    (home / "evil").symlink_to("/etc")
    slots.fill(name, [Mount(str(home), HOME), Mount(str(tmp_path), "/shared/evil", True)])
    points = {str(path) for path in mounting.mounted_below(Path("/etc"))}
    assert str(tmp_path / "slots" / name / "shared" / "evil") not in points
    assert (tmp_path / "slots" / name / "shared" / "evil" / "slots").is_dir()


def test_a_claim_goes_in_once(slots: Slots, tmp_path: Path) -> None:
    name = slots.make()
    pipe = tmp_path / "slots" / name / "door" / "claim"
    assert not slots.listens(name)
    with pytest.raises(OSError, match="No such device"):
        slots.send(name, b"to nobody")
    heard: list[bytes] = []

    def wait() -> None:
        while not heard:
            content = pipe.read_bytes()
            if content:
                heard.append(content)

    thread = threading.Thread(target=wait)
    thread.start()
    while not slots.listens(name):
        pass
    assert not slots.was_sent(name)
    message = b"x" * 20_000
    while True:
        try:
            slots.send(name, message)
            break
        except OSError as error:
            # It is just opening the pipe again, after it was asked whether it listens.
            assert "No such device" in str(error)
    thread.join(10)
    assert heard == [message]
    assert slots.was_sent(name)
    with pytest.raises(FileNotFoundError):
        slots.send(name, message)

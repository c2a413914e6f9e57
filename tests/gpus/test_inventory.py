"""What the driver says is believed only when it makes sense; what is gone is named."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from sqlalchemy import select

from perijove_hub.gpus import inventory, leases
from perijove_hub.gpus.inventory import Device, Unknown
from perijove_hub.settings import GpuSettings
from perijove_hub.store import Database
from perijove_hub.store.models import GpuRow

ONE, TWO = "GPU-5ac6a0f2-1111-2222-3333-444455556666", "GPU-77777777-1111-2222-3333-444455556666"
TWO_GPUS = f"{ONE}, NVIDIA L4, 23034, [N/A]\n{TWO}, NVIDIA H100 80GB HBM3, 81559, Disabled\n"


def driver(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    answer: str,
    *,
    status: int = 0,
    listed: str = "",
) -> None:
    """Put a program ``nvidia-smi`` on the path that answers so."""
    (tmp_path / "answer").write_text(answer)
    (tmp_path / "listed").write_text(listed)
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir(exist_ok=True)
    program.write_text(
        f'#!/bin/sh\n[ "$1" = -L ] && exec cat {tmp_path}/listed\n'
        f"cat {tmp_path}/answer\nexit {status}\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}/usr/bin{os.pathsep}/bin")


def test_without_a_driver_there_are_no_gpus(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert inventory.look(GpuSettings()) == []


def test_the_driver_lists_devices(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    driver(monkeypatch, tmp_path, TWO_GPUS)
    assert inventory.look(GpuSettings()) == [
        Device(ONE, "NVIDIA L4", 23034),
        Device(TWO, "NVIDIA H100 80GB HBM3", 81559),
    ]


def test_the_settings_name_which_of_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = GpuSettings(devices=[TWO, "GPU-not-here", TWO])
    driver(monkeypatch, tmp_path, TWO_GPUS)
    assert [device.id for device in inventory.look(settings)] == [TWO]
    driver(monkeypatch, tmp_path, "No devices were found\n", status=6)
    assert inventory.look(settings) == [], "the driver knows better than the settings"
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert inventory.look(settings) == [Device(TWO), Device("GPU-not-here")]


def test_a_partitioned_device_is_its_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # As NVIDIA's MIG guide shows them; the whole device would bring every part with it.
    listed = (
        f"GPU 0: NVIDIA A100-SXM4-40GB (UUID: {ONE})\n"
        "  MIG 1g.5gb      Device  0: (UUID: MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f)\n"
        "  MIG 3g.20gb     Device  1: (UUID: MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb)\n"
        f"GPU 1: NVIDIA L4 (UUID: {TWO})\n"
    )
    answer = f"{ONE}, NVIDIA A100-SXM4-40GB, 40536, Enabled\n{TWO}, NVIDIA L4, 23034, [N/A]\n"
    driver(monkeypatch, tmp_path, answer, listed=listed)
    assert inventory.look(GpuSettings()) == [
        Device(
            "MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f", "NVIDIA A100-SXM4-40GB MIG 1g.5gb", 5120
        ),
        Device(
            "MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb", "NVIDIA A100-SXM4-40GB MIG 3g.20gb", 20480
        ),
        Device(TWO, "NVIDIA L4", 23034),
    ]


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n", 9),
        (f"{ONE}, NVIDIA L4, 23034, [N/A]\nUnable to determine the device handle\n", 0),
        ("<html>502</html>\n", 0),
        (f"{ONE}, NVIDIA L4\n", 0),
        ("../../etc/passwd, x, 1, Disabled\n", 0),
        (TWO_GPUS, 15),
    ],
)
def test_an_answer_that_makes_no_sense_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: str, status: int
) -> None:
    driver(monkeypatch, tmp_path, answer, status=status)
    with pytest.raises(Unknown, match="nvidia-smi"):
        inventory.look(GpuSettings())


def record(database: Database, *devices: Device, shares: int = 1) -> dict[str, bool]:
    with database.session() as session:
        inventory.record(session, devices, shares=shares)
    with database.reading() as session:
        return {row.id: row.present for row in session.scalars(select(GpuRow))}


def test_a_device_that_vanishes_is_marked_and_its_holder_named(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    one, two = Device(ONE, "NVIDIA L4", 23034), Device(TWO)
    assert record(database, one, two) == {ONE: True, TWO: True}
    with database.session() as session:
        leases.acquire(session, kind="kernel", holder="k1", user="ada", gpus=2)
    assert record(database, two) == {ONE: False, TWO: True}
    assert f"{ONE} (NVIDIA L4) has vanished; held by kernel k1 of ada" in caplog.text
    caplog.clear()
    record(database, two)
    assert caplog.text == "", "it is said once"
    assert record(database, Device(ONE), two) == {ONE: True, TWO: True}
    with database.reading() as session:
        row = session.get_one(GpuRow, ONE)
        assert (row.model, row.memory_mb) == ("NVIDIA L4", 23034)


def test_fewer_shares_than_are_held_hand_out_nothing_twice(database: Database) -> None:
    record(database, Device(ONE), shares=4)
    with database.session() as session:
        for holder in "abc":
            leases.acquire(session, kind="kernel", holder=holder, user="ada", gpus=0.25)
    record(database, Device(ONE), shares=2)
    with database.session() as session:
        assert leases.free(session) == (0, 1)
        leases.release(session, "kernel", "a")
        assert leases.acquire(session, kind="kernel", holder="d", user="ada", gpus=1) is None
        assert leases.acquire(session, kind="kernel", holder="e", user="ada", gpus=0.5) == [ONE]

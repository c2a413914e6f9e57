"""What the kernel's files say of memory, in both versions of control groups."""

from __future__ import annotations

from pathlib import Path

from perijove_hub.engine.memory import Memory, read


def test_version_1_is_read(tmp_path: Path) -> None:
    (tmp_path / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
    (tmp_path / "memory.max_usage_in_bytes").write_text("104857600\n")
    (tmp_path / "memory.limit_in_bytes").write_text("104857600\n")
    assert read(tmp_path) == Memory(104857600, 104857600, 3)


def test_version_1_without_a_limit_has_none(tmp_path: Path) -> None:
    (tmp_path / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 0\n")
    (tmp_path / "memory.max_usage_in_bytes").write_text("5\n")
    (tmp_path / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert read(tmp_path) == Memory(5, None, 0)


def test_version_2_is_read_with_and_without_a_peak(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("7\n")
    (tmp_path / "memory.events").write_text("low 0\nhigh 0\nmax 1\noom 1\noom_kill 2\n")
    assert read(tmp_path) == Memory(7, None, 2)
    (tmp_path / "memory.max").write_text("100\n")
    (tmp_path / "memory.peak").write_text("90\n")
    assert read(tmp_path) == Memory(90, 100, 2)


def test_what_is_no_control_group_is_none(tmp_path: Path) -> None:
    assert read(tmp_path) is None
    assert read(tmp_path / "gone") is None

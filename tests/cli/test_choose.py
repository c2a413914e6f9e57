"""Which way workspaces run when nobody has decided, and what is said of it."""

from __future__ import annotations

import pytest

from perijove_hub.cli.up import _choose_spawner
from perijove_hub.engine import ready
from perijove_hub.up.exceptions import StartError


@pytest.mark.parametrize(
    ("asked", "reason", "chosen"),
    [
        (None, None, "docker"),
        (None, "no engine answers. Start it.", "local"),
        ("local", None, "local"),
        ("docker", None, "docker"),
    ],
)
def test_docker_is_chosen_where_it_can_be_used(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    asked: str | None,
    reason: str | None,
    chosen: str,
) -> None:
    # An engine comes and goes with the machine; what it says is tried in tests/docker.
    monkeypatch.setattr(ready, "why_not", lambda: reason)
    assert _choose_spawner(asked) == chosen
    said = capsys.readouterr().out.splitlines()
    assert len(said) == (asked is None)
    assert reason is None or reason in said[0]


def test_docker_that_was_asked_for_and_cannot_be_used_stops_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ready, "why_not", lambda: "no engine answers. Start it.")
    with pytest.raises(StartError, match="--spawner docker: no engine answers"):
        _choose_spawner("docker")

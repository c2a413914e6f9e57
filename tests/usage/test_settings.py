"""Wrong quotas and devices are named before anybody wonders about them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from perijove_hub.cli.doctor import doctor
from perijove_hub.context import Context
from perijove_hub.settings import SettingsError, load
from perijove_hub.store.models import PrincipalRow


def findings(folder: Path, config: str) -> list[tuple[str, str, str]]:
    path = folder / "perijove.toml"
    path.write_text(config)
    data = ["--data-dir", str(folder / "data"), "--config", str(path)]
    answer = CliRunner().invoke(doctor, ["--json", *data])
    found = json.loads(answer.stdout)
    return [
        (one["state"], one["detail"], one["fix"])
        for one in found
        if one["check"] in ("quotas", "gpus")
    ]


def test_the_doctor_names_groups_that_nobody_is_in(context: Context, tmp_path: Path) -> None:
    config = "[usage.quotas.reserch]\nhours = 1\n[usage.quotas.risk]\nhours = 1\n"
    config += "[usage.quotas.xyz]\nhours = 1\n"
    with context.database.session() as session:
        session.add(PrincipalRow(name="ada", groups=["research", "risk"]))
    assert findings(tmp_path, config) == [
        ("warning", "nobody is in the group 'reserch'", "Did you mean 'research'?"),
        ("warning", "nobody is in the group 'xyz'", "Add users to it, or take its quota away."),
    ]


def test_the_doctor_is_silent_where_nothing_ever_ran(tmp_path: Path) -> None:
    assert findings(tmp_path, "[usage.quotas.research]\nhours = 1\n") == []


def test_the_doctor_names_gpus_that_are_not_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\necho GPU-5ac6a0f2-1111-2222-3333-444455556666, NVIDIA L4, 23034, Disabled\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/local/bin:/usr/bin:/bin")
    (found,) = findings(tmp_path, '[gpus]\ndevices = ["GPU-1"]\n')
    assert found[:2] == ("warning", "there is no GPU 'GPU-1'")
    program.write_text("#!/bin/sh\nexit 9\n")
    (broken,) = findings(tmp_path, "")
    assert broken[0] == "warning"
    assert "status 9" in broken[1]


@pytest.mark.parametrize("key", ["hours", "gpu_hours", "cost"])
@pytest.mark.parametrize("value", ["-1", '"many"', "nan", "inf"])
def test_a_limit_that_makes_no_sense_is_refused_with_its_line(
    tmp_path: Path, key: str, value: str
) -> None:
    path = tmp_path / "perijove.toml"
    path.write_text(f"[usage.quotas.research]\n{key} = {value}\n")
    with pytest.raises(SettingsError) as refused:
        load(path)
    assert f"{path}:2: usage.quotas.research.{key}" in str(refused.value)

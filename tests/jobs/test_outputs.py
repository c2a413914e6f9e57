"""What a run finds in its folder, what is kept of what it leaves, and what a full disk does."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from perijove.types.jobs import Cause, InputFile, Resources, Run, RunCreate, RunState
from perijove.types.secrets import SecretCreate
from perijove_hub.jobs import outputs, reasons, scratch
from perijove_hub.secrets.service import SecretService
from perijove_hub.store.models import ArtifactRow, JobRow, RunRow
from tests.jobs.conftest import ADA, BOB, Platform
from tests.jobs.notebooks import code, notebook
from tests.jobs.programs import DONE, described
from tests.jobs.test_runs import output_of

SHOW = """
import json, os, pathlib
key = key
files = sorted(str(path) for path in pathlib.Path().rglob("*") if path.is_file())
print("HERE", os.getcwd(), json.dumps({name: open(name).read() for name in files}))
with open(os.environ["PERIJOVE_METRICS"], "a") as metrics:
    for value in (0.9, float("nan"), 0.1):
        print(json.dumps({"name": "loss", "value": value}), file=metrics)
os.makedirs("outputs/deep")
open("outputs/deep/key-length", "w").write(str(len(key)))
"""


def test_a_run_finds_its_inputs_its_upstreams_files_and_its_secrets_and_leaves_files(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    SecretService(platform.context).put(ADA, "API_KEY", SecretCreate(value="hunter2hunter2"))
    inputs = [InputFile(path="data/in.csv", content=base64.b64encode(b"a,b\n").decode())]
    first = platform.promote(name="first", by=BOB)
    cells = [code("key: 'perijove.Secret' = None", tags=["parameters"]), code(SHOW)]
    job = platform.promote(notebook(*cells), name="second", inputs=inputs)
    with monkeypatch.context() as patch:
        patch.setattr("perijove_hub.jobs.workload.describe", described(DONE))
        upstream = platform.finished(platform.run(first, by=BOB))
    run = platform.runs.create(ADA, job.id, RunCreate(parameters={"key": "API_KEY"}), key=None)
    with platform.context.database.session() as session:
        session.get_one(RunRow, run.id).upstream = {"first": upstream.id}
    # Bob's job is his own: what it leaves is nobody else's to read.
    refused = platform.finished(run)
    assert (refused.state, refused.cause) == (RunState.failed, Cause.refused)
    assert "ada may no longer see the job 'first'" in str(refused.reason)
    run = platform.runs.create(ADA, job.id, RunCreate(parameters={"key": "API_KEY"}), key=None)
    with platform.context.database.session() as session:
        session.get_one(RunRow, run.id).upstream = {"first": upstream.id}
        session.get_one(JobRow, first.id).visibility = "everyone"
    run = platform.finished(run)
    assert run.state is RunState.succeeded, (run.reason, platform.log(run))
    said = next(line for line in platform.log(run).splitlines() if line.startswith("HERE"))
    _, where, found = said.split(" ", 2)
    assert where.endswith("/work")
    assert json.loads(found) == {"data/in.csv": "a,b\n", "inputs/first/file": "left\n"}
    assert run.metrics == {"loss": 0.1}
    [left] = artifacts(platform, run)
    assert (left.path, left.bytes) == ("deep/key-length", 2)
    assert platform.context.blobs.get(left.sha256) == b"14"
    with platform.context.database.reading() as session:
        row = session.get_one(RunRow, run.id)
    assert row.events_sha256 and row.log_sha256
    events = platform.context.blobs.get(row.events_sha256)
    assert json.loads(events.splitlines()[0])["event"] == "started"
    kept = b"".join((events, output_of(platform, run), platform.context.blobs.get(row.log_sha256)))
    assert b"hunter2" not in kept


def artifacts(platform: Platform, run: Run) -> list[ArtifactRow]:
    with platform.context.database.reading() as session:
        rows = select(ArtifactRow).where(ArtifactRow.run_id == run.id)
        return list(session.scalars(rows.order_by(ArtifactRow.path)))


def ended(platform: Platform, patch: pytest.MonkeyPatch, script: str, **more: Any) -> Run:
    patch.setattr("perijove_hub.jobs.workload.describe", described(script))
    name = f"job-{os.urandom(4).hex()}"
    return platform.finished(platform.run(platform.promote(name=name, **more)))


def test_what_is_too_large_too_many_or_no_file_is_left_out_and_said(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("of another user")
    monkeypatch.setattr(outputs, "MOST_FILES", 3)
    platform.context.settings.jobs.outputs_mb = 1
    script = (
        f"{DONE}\ncd work/outputs; head -c 900000 /dev/zero > a; head -c 900000 /dev/zero > b\n"
        f"ln -s {tmp_path}/secret c; ln -s {tmp_path} d; mkfifo e; echo x > z1; echo y > z2\n"
        "touch \"$(printf 'bad\\001')\"; truncate -s 1T f"
    )
    run = ended(platform, monkeypatch, script)
    assert run.state is RunState.succeeded
    assert [one.path for one in artifacts(platform, run)] == ["a", "file", "z1"]
    for said in (
        "2 of its files in outputs/ were not kept: they take more than 1 MiB (first: b).",
        "3 of its files in outputs/ were not kept: links",
        "1 of its files in outputs/ was not kept: a run keeps 3 (first: z2).",
        "1 of its files in outputs/ was not kept: their names cannot be shown",
    ):
        assert said in str(run.reason) and said in platform.log(run)


@pytest.mark.parametrize("link", ["work", "work/outputs"])
def test_a_folder_that_became_a_link_is_not_followed(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, link: str
) -> None:
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "secret").write_text("of another user")
    target = tmp_path if link == "work" else tmp_path / "outputs"
    run = ended(platform, monkeypatch, f"{DONE}\nrm -r {link}; ln -s {target} {link}")
    assert run.state is RunState.succeeded and artifacts(platform, run) == []


def test_inputs_lead_nowhere_else(tmp_path: Path) -> None:
    for path in ("../x", "/x", "a/../../x", ""):
        with pytest.raises(ValueError, match="not below the run's folder"):
            scratch.prepare(tmp_path, "r", notebook=b"", parameters={}, files=[(path, b"")])
    assert list(tmp_path.iterdir()) == []


def test_metrics_are_finite_numbers_of_bounded_many_names(tmp_path: Path) -> None:
    said = ['{"name": "a", "value": 1}', '{"name": "a", "value": 2}', "[]", "null", "{", "7"]
    said += [f'{{"name": "a", "value": {value}}}' for value in ('"x"', "null", "[]")]
    for value in ("NaN", "1e999"):
        said += [f'{{"name": "diverged", "value": {last}}}' for last in (0.1, value)]
    said += [f'{{"name": "n{number}", "value": {number}}}' for number in range(500)]
    (tmp_path / scratch.METRICS).write_text("\n".join(said) + '\n{"name": "a", "value"')
    metrics = scratch.Metrics(tmp_path)
    assert metrics.update() and not metrics.update()
    assert metrics.values["a"] == 2 and metrics.values["n0"] == 0
    assert "diverged" not in metrics.values, "the last value counts, and that is none"
    assert len(metrics.values) == scratch.MOST_NAMES


def test_limits_of_cells_and_output_reach_the_runner(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = [code("print('x' * 3_000_000)"), code("import time; time.sleep(60)")]
    limits = Resources(cell_timeout_s=2, max_output_mb=1)
    run = platform.finished(platform.run(platform.promote(notebook(*cells), resources=limits)))
    assert (run.state, run.cause) == (RunState.failed, Cause.cell_timeout)
    assert run.reason == "Cell 2 ran longer than the 2 s of a cell."
    assert run.failed_cell == 1
    assert len(output_of(platform, run)) < 1.5 * 2**20


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[None]:
    """Put a disk of that size there; takes root."""
    if os.geteuid() != 0:
        assert not os.environ.get("CI"), "mounting a small disk takes root"
        pytest.skip("mounting a small disk takes root")
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    subprocess.run(mount, check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_disk_without_room_for_a_runs_folder_fails_the_run_and_says_so(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = platform.context.data.root / "scratch"
    with small_disk(folder, 64):
        (folder / "full").write_bytes(b"")
        platform.duty.tick()
        with (folder / "full").open("wb") as file, pytest.raises(OSError, match="No space"):
            while True:
                os.write(file.fileno(), bytes(1024))
        run = ended(platform, monkeypatch, DONE)
        assert (run.state, run.cause, run.reason) == (
            RunState.failed,
            Cause.disk,
            reasons.NO_ROOM,
        )
        assert [path.name for path in folder.iterdir()] == ["full"]
        (folder / "full").unlink()
        assert ended(platform, monkeypatch, DONE).state is RunState.succeeded


def test_a_disk_that_is_full_when_a_run_is_stored_fails_the_run_and_tears_nothing(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = platform.context.data.root / "blobs"
    with small_disk(folder, 512):
        large = f"{DONE}\nhead -c 2000000 /dev/urandom > work/outputs/large"
        run = ended(platform, monkeypatch, large)
        assert (run.state, run.cause, run.reason) == (RunState.failed, Cause.disk, reasons.FULL)
        # What there was room for is kept, and whole.
        assert [one.path for one in artifacts(platform, run)] == ["file"]
        assert run.has_output and output_of(platform, run)
        assert not list(folder.rglob("*.part"))
        again = ended(platform, monkeypatch, DONE)
        assert again.state is RunState.succeeded
        with platform.context.database.reading() as session:
            for row in session.scalars(select(RunRow)):
                for address in (row.output_sha256, row.log_sha256, row.events_sha256):
                    assert address is None or platform.context.blobs.get(address) is not None


def test_a_notebook_that_fills_the_disk_fails_and_says_so(platform: Platform) -> None:
    folder = platform.context.data.root / "scratch"
    fill = "with open('big', 'wb') as file:\n    while True: file.write(bytes(65536))"
    with small_disk(folder, 2048):
        run = platform.finished(platform.run(platform.promote(notebook(code(fill)))))
        assert (run.state, run.cause) == (RunState.failed, Cause.disk), run.reason
        assert "space" in str(run.reason)
        assert list(folder.iterdir()) == []

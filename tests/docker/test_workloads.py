"""Job runs and replicas in containers, by the worker's own duties."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sqlalchemy import select

from perijove.types.jobs import Cause, Policy, Resources, RunState
from perijove_hub.engine import Names, firewall, network
from perijove_hub.engine.client import connect
from perijove_hub.images.service import register_builtin
from perijove_hub.jobs import reasons
from perijove_hub.jobs.names import workload_name
from perijove_hub.launch import Phase
from perijove_hub.launch.docker import DockerLauncher
from perijove_hub.models import replica
from perijove_hub.models.files import _let_read
from perijove_hub.store.migrate import upgrade
from perijove_hub.store.models import (
    ArtifactRow,
    AttemptRow,
    AuditRow,
    DeploymentRow,
    ReplicaRow,
)
from tests.jobs.conftest import ADMIN, Platform
from tests.jobs.notebooks import code, notebook
from tests.jobs.programs import DONE, TOLD, described
from tests.jobs.programs import until as once_there
from tests.launch.conftest import contained_context, until

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

CURIOUS = """
import os, socket, pathlib
print("uid", os.getuid(), "at", os.getcwd(), "home", os.environ["HOME"])
print("url", os.environ["PERIJOVE_URL"], "token", len(os.environ["PERIJOVE_TOKEN"]) > 20)
print("pythonpath", os.environ.get("PYTHONPATH"))
pathlib.Path("made").write_text("x")
"""


class Contained(Platform):
    """Jobs whose runs are containers."""

    launcher: Any

    def __post_init__(self) -> None:
        self.launcher = DockerLauncher(self.context)
        self.restart()

    def tick_until(self, condition: Any, seconds: float = 180) -> None:
        super().tick_until(condition, seconds)


@pytest.fixture(scope="module")
def platform(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contained]:
    context = contained_context(tmp_path_factory.mktemp("contained") / "data")
    upgrade(context.database)
    client = connect()
    digest = client.images.get(image).id
    client.close()
    with context.database.session() as session:
        register_builtin(session, "cpu", digest=digest, description="", interfaces=["lab"])
    found = Contained(context)
    yield found
    launcher = found.launcher
    for status in launcher.list():
        launcher.stop(status.name)
    until(lambda: all(status.phase is not Phase.running for status in launcher.list()))
    for status in launcher.list():
        launcher.remove(status.name)
    launcher.close()
    names = Names.of(context.data.root)
    assert network.remove(names)
    firewall.lift(names)
    context.database.close()


def test_a_job_runs_in_a_container_and_leaves_its_output(platform: Contained) -> None:
    content = notebook(
        code("C: float = 0.5", tags=["parameters"]), code("print('C =', C)"), code(CURIOUS)
    )
    run = platform.finished(platform.run(platform.promote(content), C=2.0))
    assert run.state is RunState.succeeded, (run.reason, platform.log(run))
    log = platform.log(run)
    assert "C = 2.0" in log
    assert "uid 1000 at /workload/work home /workload" in log
    host = platform.context.topology.host
    assert f"url http://{host}:8010/services/perijove token True" in log
    assert "pythonpath None" in log
    # The three, and the one with the parameters.
    assert run.progress.cells_done == run.progress.cells_total == 4
    output = json.loads(platform.runs.notebook(ADMIN, run.id)[0])
    assert "C = 2.0" in json.dumps(output)
    # Nothing is left on the engine or in the scratch folder.
    assert platform.launcher.list() == []
    assert list((platform.context.data.root / "scratch").iterdir()) == []
    with platform.context.database.reading() as session:
        found = select(AuditRow).where(AuditRow.object == f"run/{run.id}")
        started = session.scalars(found.where(AuditRow.verb == "run.start")).one()
    assert started.actor == run.requested_by
    assert started.detail["image"] == "cpu@1"
    assert started.detail["digest"].startswith("sha256:")


SPOILING = """
import json, os, signal
bad = {"event": "ended", "ending": "cell_error", "cell": 10**30, "error": "\\ud800 \\0"}
with open("../events.jsonl", "a") as events:
    events.write(json.dumps({"event": "started", "cells_total": 10**300}) + "\\n")
    events.write(json.dumps(bad) + "\\n" + json.dumps({**bad, "cell": 0}) + "\\n")
with open("/run/perijove/end", "w") as end:
    end.write('{"exit_code": 1%s, "cause": null, "peak": Infinity}' % (30 * "0"))
os.kill(-1, signal.SIGKILL)
"""


def test_a_run_that_spoils_its_own_record_ends_all_the_same(platform: Contained) -> None:
    run = platform.finished(platform.run(platform.promote(notebook(code(SPOILING)), name="spoil")))
    assert run.state in (RunState.failed, RunState.lost)
    run.model_dump_json()


def test_a_run_that_takes_too_much_memory_says_so(platform: Contained) -> None:
    hungry = notebook(code("x = []\nwhile True: x.append(bytearray(2**22))"))
    little = Resources(memory_mb=512)
    run = platform.finished(platform.run(platform.promote(hungry, name="hungry", resources=little)))
    assert run.state is RunState.failed
    assert run.reason.startswith("It used more than its 512 MiB of memory (peak 512 MiB)")


def test_a_worker_that_dies_is_followed_by_one_that_watches_the_same_container(
    platform: Contained,
) -> None:
    slow = notebook(code("import time; time.sleep(4); print('slept')"))
    run = platform.run(platform.promote(slow, name="slow"))
    platform.tick_until(lambda: platform.get(run).state is RunState.running)
    [before] = platform.launcher._containers()
    platform.launcher.close()
    platform.launcher = DockerLauncher(platform.context)
    platform.restart()
    platform.duty.tick()
    [after] = platform.launcher._containers()
    assert before["Id"] == after["Id"]
    done = platform.finished(run)
    assert done.state is RunState.succeeded and platform.log(done).count("\nslept\n") == 1


def test_a_run_whose_container_was_removed_is_lost_and_says_so(platform: Contained) -> None:
    slow = notebook(code("import time; time.sleep(600)"))
    run = platform.run(platform.promote(slow, name="removed"))
    platform.tick_until(lambda: platform.get(run).progress.cells_total == 1)
    [container] = platform.launcher._containers()
    platform.launcher._discard(container["Id"])
    lost = platform.finished(run)
    assert (lost.state, lost.reason) == (RunState.lost, reasons.VANISHED)
    assert platform.launcher.list() == []


def test_a_container_that_is_killed_is_lost_and_tried_again_until_one_ends_well(
    platform: Contained, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A program in place of the runner: whatever runs inside, its container is what dies.
    script = f"{TOLD}\n{once_there(Path('go'))}\n{DONE}"
    monkeypatch.setattr("perijove_hub.jobs.workload.describe", described(script))
    policy = Policy(retries=2, retry_delay_s=0)
    run = platform.run(platform.promote(name="killed", policy=policy))

    def works(attempt: int) -> bool:
        found = platform.get(run)
        return found.attempt == attempt and found.progress.cells_total == 1

    for attempt, number in ((1, "SIGKILL"), (2, "SIGTERM")):
        platform.tick_until(lambda attempt=attempt: works(attempt))
        [container] = platform.launcher._containers()
        platform.launcher._api.kill(container["Id"], number)
    platform.tick_until(lambda: works(3))
    (platform.launcher.directory(workload_name(run.id, 3)) / "go").touch()
    done = platform.finished(run)
    assert (done.state, done.attempt) == (RunState.succeeded, 3), done.reason
    with platform.context.database.reading() as session:
        tries = session.scalars(select(AttemptRow).where(AttemptRow.run_id == run.id)).all()
        assert [(one.state, one.cause) for one in tries] == [("lost", "lost")] * 2
        assert [one.reason for one in tries] == [reasons.VANISHED, reasons.ENGINE]
        assert [one.path for one in session.scalars(select(ArtifactRow))] == ["file"]
    assert platform.launcher.list() == []
    assert list((platform.context.data.root / "scratch").iterdir()) == []


def test_a_run_whose_image_was_deleted_names_it_and_is_not_tried_again(
    platform: Contained,
) -> None:
    with platform.context.database.session() as session:
        register_builtin(
            session, "gone", digest=f"sha256:{7:064}", description="", interfaces=["lab"]
        )
    job = platform.promote(name="gone", image="gone@1", policy=Policy(retries=2))
    run = platform.finished(platform.run(job))
    assert (run.state, run.cause, run.attempt) == (RunState.failed, Cause.refused, 1)
    assert run.reason and run.reason.startswith("Its image gone@1 is no longer on the Docker")
    assert list((platform.context.data.root / "scratch").iterdir()) == []


def test_a_cancelled_run_ends(platform: Contained) -> None:
    slow = notebook(code("import time; time.sleep(600)"))
    run = platform.run(platform.promote(slow, name="cancelled"))
    platform.tick_until(lambda: platform.get(run).progress.cells_total == 1)
    platform.runs.cancel(ADMIN, run.id)
    assert platform.finished(run).state is RunState.cancelled


def test_a_replica_answers_the_host_and_holds_no_credential(
    platform: Contained, tmp_path: Path
) -> None:
    launcher, model = platform.launcher, tmp_path / "model"
    save_iris(model)
    now = datetime.now(UTC)
    deployment = DeploymentRow(id="d1", name="iris", image_digest=None)
    row = ReplicaRow(workload="replica-d1-1-1", attempt=1, created_at=now)
    launcher.start(replica.workload(platform.context, deployment, row, model=model, image=None))
    found: list[str] = []

    def answers() -> bool:
        status = launcher.poll(row.workload)
        assert status.phase is Phase.running, launcher.logs(row.workload, 0, 10**5)[0].decode()
        found[:] = [address] if (address := replica.address(launcher, status)) else []
        return bool(found)

    until(answers, 120)
    assert found[0] == f"{launcher.poll(row.workload).address}:{replica.PORT}"
    answer = httpx.post(
        f"http://{found[0]}/invocations",
        json={"inputs": [[5.1, 3.5, 1.4, 0.2]]},
        headers={"perijove-replica": row.workload},
        trust_env=False,
        timeout=20,
    )
    assert answer.status_code == 200 and answer.json()["predictions"] == [0]
    environment = launcher._inspect(row.workload)["Config"]["Env"]
    assert not [item for item in environment if "TOKEN" in item or "PERIJOVE" in item]
    launcher.stop(row.workload)
    until(lambda: launcher.poll(row.workload).phase is Phase.ended)
    # A model's code may leave anything where the replica's own word is looked for.
    said = launcher.directory(row.workload) / replica.ANNOUNCE
    said.unlink()
    said.symlink_to("/etc/passwd")
    assert replica.announced(launcher, row.workload) == {}
    launcher.remove(row.workload)
    shutil.rmtree(model)


def save_iris(folder: Path) -> None:
    """Save a classifier as a download leaves it."""
    import mlflow.sklearn
    from mlflow.models import infer_signature

    features, target = load_iris(return_X_y=True)
    fitted = LogisticRegression(max_iter=500).fit(features, target)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        signature = infer_signature(features, target)
        # Said, or MLflow looks for them in a process of its own, for seconds.
        needs = ["scikit-learn"]
        mlflow.sklearn.save_model(fitted, str(folder), signature=signature, pip_requirements=needs)
    _let_read(folder)

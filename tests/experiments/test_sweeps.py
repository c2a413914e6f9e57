"""A sweep's own run in the real MLflow, and those of its notebooks below it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from sqlalchemy import select, update

from perijove.experiments import active
from perijove.types.sweeps import Dimension, SweepCreate, SweepState
from perijove_hub.jobs.sweeps.duty import SweepDuty
from perijove_hub.jobs.sweeps.service import SweepService
from perijove_hub.store.models import RunRow, RunTokenRow, SweepRow, utcnow
from tests.experiments.test_magics import Wire, runs_of, tracking
from tests.fixtures.mlflow import Mlflow
from tests.jobs.conftest import ADA, TUTORIAL, Platform

__all__ = ["tracking"]


def test_a_sweeps_runs_lie_below_its_own(
    mlflow: Mlflow, tracking: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = Platform(mlflow.context)
    tokens = select(RunTokenRow.sha256)
    with mlflow.context.database.reading() as session:
        before = set(session.scalars(tokens))
    job = platform.promote(TUTORIAL, name="swept")
    body = SweepCreate(
        space={"C": Dimension(values=[1, 2])}, metric="loss", concurrency=2, experiment="swept-runs"
    )
    sweeps, duty = SweepService(mlflow.context), SweepDuty(mlflow.context)
    sweep = sweeps.create(ADA, job.id, body, key=None)
    duty.tick()
    parent = sweeps.get(ADA, sweep.id).tracking_run_id
    assert parent, sweeps.get(ADA, sweep.id).tracking_note

    # A worker that died before it wrote the id down finds the same run again.
    with mlflow.context.database.session() as session:
        session.execute(update(SweepRow).values(tracking_run_id=None))
    duty.tick()
    assert sweeps.get(ADA, sweep.id).tracking_run_id == parent
    assert len(runs_of(mlflow, "swept-runs")) == 1

    with mlflow.context.database.session() as session:
        rows = session.scalars(select(RunRow).where(RunRow.trigger == "sweep")).all()
        assert {row.tracking_parent for row in rows} == {parent}
        for row in rows:
            row.state, row.ended_at = "succeeded", utcnow()
            row.metrics = {"loss": row.parameters["C"] / 4}
        # Other tests of this MLflow have tokens of their own.
        assert set(session.scalars(tokens)) == before, "the token was for two calls"
    monkeypatch.setenv("PERIJOVE_PARENT_RUN", parent)
    with active.track("swept-runs", params={"C": 1}) as child:
        assert child.run_id
    duty.tick()
    duty.tick()
    assert sweeps.get(ADA, sweep.id).state is SweepState.ended
    runs = {run["info"]["run_id"]: run for run in runs_of(mlflow, "swept-runs")}
    assert set(runs) == {parent, child.run_id}
    assert runs[child.run_id]["tags"]["mlflow.parentRunId"] == parent
    ended = runs[parent]
    assert ended["info"]["status"] == "FINISHED"
    assert (ended["info"]["user_id"], ended["tags"]["perijove.job"]) == ("ada", "swept")
    assert (ended["params"], ended["metrics"]) == ({"C": "1.0"}, {"loss": 0.25})
    assert sweeps.get(ADA, sweep.id).tracking_note is None


PLAIN = """
import os, sys, mlflow
with mlflow.start_run(run_name="plain"):
    with mlflow.start_run(run_name="inner", nested=True):
        pass
with mlflow.start_run(run_name="moved", tags={"mlflow.parentRunId": sys.argv[1]}):
    pass
for name in [name for name in os.environ if name.startswith("PERIJOVE_")]:
    del os.environ[name]
with mlflow.start_run(run_name="outside"):
    pass
"""


def test_plain_runs_of_mlflow_lie_below_the_sweeps_unless_they_say_otherwise(
    mlflow: Mlflow, tracking: Wire
) -> None:
    above, other = "0" * 32, "1" * 32
    environment = {
        **os.environ,
        "PERIJOVE_PARENT_RUN": above,
        "PERIJOVE_RUN_ID": "r1",
        "PERIJOVE_JOB": "swept",
        "MLFLOW_EXPERIMENT_NAME": "swept-plain",
    }
    subprocess.run([sys.executable, "-c", PLAIN, other], env=environment, check=True, timeout=120)
    found = {run["info"]["run_name"]: run for run in runs_of(mlflow, "swept-plain")}
    parents = {name: run["tags"].get("mlflow.parentRunId") for name, run in found.items()}
    plain = found["plain"]["info"]["run_id"]
    assert parents == {"plain": above, "inner": plain, "moved": other, "outside": None}
    tags = found["inner"]["tags"]
    assert (tags["perijove.run"], tags["perijove.job"]) == ("r1", "swept")
    assert "perijove.run" not in found["outside"]["tags"]

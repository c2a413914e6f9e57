"""MLflow's run above the runs of a sweep, made in the name of the job's owner.

A sweep needs MLflow for nothing else: without it, it goes on and says so.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from perijove.exceptions import PerijoveError
from perijove.experiments.mlflow_api import KEY_TAG, MlflowApi
from perijove.types.sweeps import SweepCreate, SweepTrial
from perijove_hub.context import Context
from perijove_hub.identity import issue_run_token, revoke_run_tokens
from perijove_hub.jobs.owners import is_user
from perijove_hub.store.models import JobRow, JobVersionRow, SweepRow, new_id, utcnow

#: Seconds MLflow has for an answer; other sweeps wait meanwhile.
_PATIENCE = 5.0


def begin(context: Context, row: SweepRow, job: JobRow, asked: SweepCreate) -> tuple[str, str]:
    """Make the run; return its id and ``""``, or ``""`` and why there is none.

    A worker that died after making it finds it again by its key.
    """
    owner = _owner(context, row, job)
    # Also notes the owner's groups, which say in whose workspace their runs are.
    if not is_user(context, owner):
        return "", f"{owner} is no longer a user of the Hub, so MLflow has no run of the sweep."
    try:
        with _api(context, owner) as api:
            experiment = api.experiment(asked.experiment or job.name)
            found = api.find_run(experiment, f"sweep-{row.id}")
            if found is None:
                tags = {
                    KEY_TAG: f"sweep-{row.id}",
                    "perijove.job": job.name,
                    "perijove.sweep": row.id,
                }
                found = api.create_run(
                    experiment, name=f"sweep {row.id[:8]}", started=_now(), tags=tags
                )
            return str(found["info"]["run_id"]), ""
    except PerijoveError as error:
        return "", f"{error} The sweep's runs have no run of MLflow above them."


def end(context: Context, row: SweepRow, job: JobRow, best: SweepTrial | None) -> None:
    """End the run, with the best trial as its own parameters and metric.

    Raises ``PerijoveError`` when MLflow takes none of it.
    """
    if row.tracking_run_id is None:
        return
    asked = SweepCreate.model_validate(row.spec)
    with _api(context, _owner(context, row, job)) as api:
        if best is not None and best.value is not None:
            value = {"key": asked.metric, "value": best.value, "timestamp": _now(), "step": 0}
            values = best.parameters.items()
            api.log_batch(
                row.tracking_run_id,
                metrics=[value],
                params=[{"key": name, "value": str(one)[:6000]} for name, one in values],
            )
        status = "KILLED" if row.state == "cancelled" else "FINISHED"
        api.end_run(row.tracking_run_id, status=status, ended=_now())


def discard(context: Context, row: SweepRow, job: JobRow, run_id: str) -> None:
    """End a run that another worker was faster to make. Raises ``PerijoveError``."""
    with _api(context, _owner(context, row, job)) as api:
        api.end_run(run_id, status="KILLED", ended=_now())


def _owner(context: Context, row: SweepRow, job: JobRow) -> str:
    with context.database.reading() as session:
        return session.get_one(JobVersionRow, (job.id, row.version)).created_by


@contextmanager
def _api(context: Context, owner: str) -> Iterator[MlflowApi]:
    until = utcnow() + timedelta(minutes=2)
    # Not the sweep's own id: another worker may be about the same sweep at this moment.
    use = new_id()
    with context.database.session() as session:
        token = issue_run_token(session, user=owner, run_id=use, expires_at=until)
    api = MlflowApi(context.topology.mlflow_url, token, timeout=_PATIENCE)
    try:
        yield api
    finally:
        api.close()
        with context.database.session() as session:
            revoke_run_tokens(session, use)


def _now() -> int:
    return int(time.time() * 1000)

"""A version of a job as a DAG of Apache Airflow 3: one file, which runs it in its image.

The file holds notebook and inputs, so that it needs no Perijove where it runs. It talks to the
Docker engine itself: Airflow's DockerOperator can only mount folders of the engine's own host,
which need not be the worker's.
"""

from __future__ import annotations

import base64
import gzip
import io
import re
import tarfile
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from perijove.types.jobs import (
    AfterRule,
    CatchUp,
    Overlap,
    Parameter,
    ParameterType,
    Policy,
    Resources,
    Schedule,
)

#: Most bytes of a DAG file, which Airflow reads every few seconds.
MOST = 8 * 2**20

_SCHEMA: dict[ParameterType, dict[str, Any]] = {
    ParameterType.int: {"type": "integer"},
    ParameterType.float: {"type": "number"},
    ParameterType.bool: {"type": "boolean"},
    ParameterType.str: {"type": "string"},
    ParameterType.date: {"type": "string", "format": "date"},
    ParameterType.datetime: {"type": "string", "format": "date-time"},
    ParameterType.list: {"type": "array"},
    ParameterType.dict: {"type": "object"},
    ParameterType.secret: {"type": "string"},
}


@dataclass(frozen=True)
class Exported:
    """What of a job goes into the file."""

    owner: str
    job: str
    version: int
    digest: str
    image: str
    notebook: bytes
    inputs: Mapping[str, bytes]
    """By path beside the notebook."""
    parameters: Sequence[Parameter]
    secrets: Sequence[str]
    """Names of those that the notebook reads by its defaults or the schedule's values."""
    resources: Resources
    """The limits that count; ``memory_mb`` and ``timeout_s`` are set."""
    policy: Policy
    schedule: Schedule | None
    after: Sequence[tuple[str, str]]
    """Owner and name of the jobs it follows."""
    created_at: datetime


def dag(job: Exported) -> str:
    """Write the file. Raises ``ValueError`` for one larger than ``MOST``."""
    schedule = job.schedule
    given = dict(schedule.parameters) if schedule else {}
    text: str = _template().render(
        # It stands in the file's docstring too, and a Hub may allow any signs in names.
        owner=re.sub(r"[^A-Za-z0-9@._+-]", "_", job.owner),
        job=job.job,
        version=job.version,
        digest=job.digest,
        image=job.image,
        dag_id=dag_id(job.owner, job.job),
        asset=asset(job.owner, job.job),
        failed=_failed(asset(job.owner, job.job)),
        command=_command(job.resources),
        environment={"MLFLOW_DISABLE_TELEMETRY": "true", "USER": job.owner, "LOGNAME": job.owner},
        secrets=sorted(job.secrets),
        bundle=_bundle(job.notebook, job.inputs),
        params={one.name: _param(one, given) for one in job.parameters},
        policy=job.policy,
        memory_mb=job.resources.memory_mb,
        timeout_s=job.resources.timeout_s,
        most=_most(job.policy, schedule),
        cron=schedule.cron if schedule else None,
        every_s=schedule.every_s if schedule else None,
        timezone=schedule.timezone if schedule else "UTC",
        when=_when(schedule.rule, [asset(*one) for one in job.after]) if schedule else None,
        notes=[_plain(note) for note in _notes(schedule, after=bool(job.after))],
        catch_up=bool(schedule and schedule.catch_up is CatchUp.all),
        start=job.created_at,
    )
    if len(text) > MOST:
        raise ValueError(f"the file would have {len(text) / 2**20:.0f} MiB")
    return text


def asset(owner: str, job: str) -> str:
    """Name what a successful run of a job makes: jobs that follow it are scheduled by that."""
    return f"perijove://{owner}/{job}"


def _failed(made: str) -> str:
    return f"{made}/failed"


def _when(rule: AfterRule, assets: Sequence[str]) -> str | None:
    """Write what a job that follows others waits for, as Python; ``None`` for no other."""
    if not assets:
        return None
    made = [f"Asset({one!r})" for one in assets]
    failed = [f"Asset({_failed(one)!r})" for one in assets]
    if rule is AfterRule.any_failure:
        return " | ".join(failed)
    if rule is AfterRule.all_done:
        both = [f"({good} | {bad})" for good, bad in zip(made, failed, strict=True)]
        return " & ".join(both)
    return " & ".join(made)


def _most(policy: Policy, schedule: Schedule | None) -> int:
    """Return how many runs may be active at once: runs of a schedule rarely overlap."""
    alone = schedule is not None and schedule.overlap is not Overlap.allow
    return 1 if alone else policy.concurrency or 16


def _notes(schedule: Schedule | None, *, after: bool) -> Iterable[str]:
    """Say what Airflow has nothing like."""
    if schedule is None:
        return
    if schedule.dataset is not None:
        yield (
            f"In Perijove it runs when the dataset {schedule.dataset} has changed. Airflow does "
            "not see that, so it has no schedule here: trigger it from what changes the data."
        )
    if after:
        yield (
            "It follows the DAGs of the jobs that it followed: export those as well. Their "
            "artifacts are not put into its folder inputs/."
        )
    if schedule.overlap in (Overlap.skip, Overlap.cancel):
        yield "What is due while a run is active waits for it; in Perijove one of them gives way."
    if schedule.catch_up is CatchUp.skip or schedule.catch_up_window_s is not None:
        yield "After an outage Airflow makes up for missed slots by its own rule."


def _plain(text: str) -> str:
    """Leave in a text what may stand in the file's docstring, in lines that fit."""
    return textwrap.fill(re.sub(r"[^A-Za-z0-9 .,:;()'/@+_-]", "_", text), 96)


def dag_id(owner: str, job: str) -> str:
    """Name the DAG of a job, with the signs that Airflow takes."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", f"{owner}-{job}")


def _command(resources: Resources) -> list[str]:
    command = ["python", "-m", "perijove.runner", "notebook.ipynb"]
    command += ["--parameters", "parameters.json", "--output", "output.ipynb"]
    command += ["--events", "events.jsonl", "--work", "work", "--metrics", "metrics.jsonl"]
    if resources.cell_timeout_s is not None:
        command += ["--cell-timeout", str(resources.cell_timeout_s)]
    if resources.max_output_mb is not None:
        command += ["--max-output-mb", str(resources.max_output_mb)]
    return command


def _param(parameter: Parameter, given: Mapping[str, Any]) -> dict[str, Any]:
    schema = dict(_SCHEMA.get(parameter.type, {}))
    if parameter.nullable and "type" in schema:
        schema["type"] = ["null", schema["type"]]
    if parameter.type is ParameterType.choice:
        schema["enum"] = [*parameter.choices, *([None] if parameter.nullable else [])]
    if parameter.help:
        schema["description"] = parameter.help
    if parameter.name in given:
        return {"default": given[parameter.name], **schema}
    return schema if parameter.required else {"default": parameter.default, **schema}


def _bundle(notebook: bytes, inputs: Mapping[str, bytes]) -> str:
    """Return the files as base64 of a tar file, the same for the same files."""
    packed = io.BytesIO()
    # gzip would write down when.
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as tar,
    ):
        for folder in ("job", "job/work"):
            _add(tar, folder, None)
        _add(tar, "job/notebook.ipynb", notebook)
        folders: set[str] = set()
        for path, content in sorted(inputs.items()):
            for parent in reversed(Path(path).parents[:-1]):
                if str(parent) not in folders:
                    folders.add(str(parent))
                    _add(tar, f"job/work/{parent}", None)
            _add(tar, f"job/work/{path}", content)
    return "\n".join(textwrap.wrap(base64.b64encode(packed.getvalue()).decode("ascii"), 96))


def _add(tar: tarfile.TarFile, name: str, content: bytes | None) -> None:
    entry = tarfile.TarInfo(name)
    entry.uid = entry.gid = 1000
    if content is None:
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(entry)
        return
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def _template() -> Any:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        # What is written is Python, and every value goes through ``repr``.
        autoescape=False,  # noqa: S701
    )
    environment.filters["python"] = repr
    return environment.get_template("airflow_dag.py.jinja")

"""Jobs and runs as tables and cards; the command line prints the same."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from perijove.jobs.notifying import told_of
from perijove.jobs.settings import in_words
from perijove.magics.display import Card, Chip, Listing
from perijove.options import duration
from perijove.types.base import Visibility
from perijove.types.jobs import (
    Artifact,
    Attempt,
    Job,
    JobVersion,
    Policy,
    Run,
    RunState,
    SchedulePreview,
)
from perijove.types.lineage import Lineage, RelatedRun
from perijove.types.notifications import Delivery, Notification

#: Names of files that one line holds.
SHOWN = 6
NO_JOBS = "No jobs yet: %promote makes one of a notebook."


def made(job: Job) -> str:
    """Say in one line what a promotion made."""
    files = [one.path for one in job.latest.inputs]
    more = f" and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
    with_files = f", with {', '.join(files[:SHOWN])}{more}" if files else ""
    return f"{job.name} is a job, version {job.latest.version}{with_files}."


def jobs_table(found: Sequence[Job]) -> Listing:
    """Make the table of some jobs."""
    rows = [
        [
            job.name,
            Chip(job.last_run.state.value) if job.last_run else "",
            job.latest.version,
            in_words(job.schedule),
            f"{job.schedule.next_slot:%Y-%m-%d %H:%M}"
            if job.schedule and job.schedule.next_slot
            else "",
            job.owner,
        ]
        for job in found
    ]
    columns = ["job", "last run", "version", "schedule", "next (UTC)", "owner"]
    return Listing(columns, rows, empty=NO_JOBS)


def runs_table(found: Sequence[Run], *, caption: str = "", empty: str = "No runs.") -> Listing:
    """Make the table of some runs of one job."""
    rows = [
        [
            run.id,
            Chip(run.state.value),
            f"{run.queued_at:%Y-%m-%d %H:%M}",
            run.trigger,
            run.version,
            took(run) or "",
            run.reason or waits(run) or "",
        ]
        for run in found
    ]
    columns = ["run", "state", "queued (UTC)", "by", "version", "took", "why"]
    return Listing(columns, rows, caption=caption, empty=empty)


def parameters_table(job: Job) -> Listing:
    """Make the table of the parameters that a job's latest version declares."""
    rows = [
        [
            one.name,
            one.type.value,
            "(required)" if one.required else json.dumps(one.default),
            one.help,
        ]
        for one in job.latest.parameters
    ]
    return Listing(["parameter", "type", "default", "about"], rows, empty="No parameters.")


def versions_table(found: Sequence[JobVersion]) -> Listing:
    """Make the table of a job's versions."""
    rows = [
        [
            one.version,
            f"{one.created_at:%Y-%m-%d %H:%M}",
            one.created_by,
            ", ".join(parameter.name for parameter in one.parameters),
            len(one.inputs),
            one.image or "",
            f"{one.approved_by} {one.approved_at:%Y-%m-%d}" if one.approved_at else "",
            one.digest[:12],
        ]
        for one in found
    ]
    columns = ["version", "made (UTC)", "by", "parameters", "files", "image", "approved", "digest"]
    return Listing(columns, rows)


def artifacts_table(found: Sequence[Artifact]) -> Listing:
    """Make the table of the files that a run left."""
    rows = [[one.path, one.bytes, one.sha256[:12]] for one in found]
    empty = "The run left no files: what a notebook writes into the folder outputs/ is kept."
    return Listing(["file", "bytes", "sha256"], rows, empty=empty)


def preview_table(preview: SchedulePreview) -> Listing:
    """Make the table of the slots that a schedule would have."""
    rows = [
        [local, f"{slot:%Y-%m-%d %H:%M:%S}"]
        for local, slot in zip(preview.local, preview.slots, strict=False)
    ]
    return Listing(
        ["slot", "UTC"], rows, caption=preview.text, empty=preview.text or "It has no slots."
    )


def run_card(run: Run, tries: Sequence[Attempt] = ()) -> Card:
    """Make the card of a run; ``tries`` are all of one that was tried several times."""
    facts = {
        "parameters": pairs(run.parameters) or None,
        "version": run.version,
        "took": took(run),
        "tries": run.attempt if run.attempt > 1 else None,
        "peak memory": f"{run.peak_memory_mb:.0f} MiB" if run.peak_memory_mb else None,
        "metrics": ", ".join(f"{name}={value:.6g}" for name, value in run.metrics.items()) or None,
        "artifacts": ", ".join(one.path for one in run.artifacts) or None,
        "why": run.reason or waits(run),
        "log": f"%job logs {run.job}" if run.state is RunState.failed else None,
        **{
            f"try {one.attempt}": f"{one.state.value}: {one.reason}"
            for one in tries
            if one.attempt < run.attempt
        },
    }
    return Card(f"{run.job}, run {run.id}", facts, state=run.state.value)


def attempt_card(run: Run, attempt: Attempt) -> Card:
    """Make the card of one try of a run."""
    peak = attempt.peak_memory_mb
    facts = {
        "took": took(attempt),
        "peak memory": f"{peak:.0f} MiB" if peak else None,
        "why": attempt.reason,
        "log": f"%job logs {run.job} --run {run.id} --attempt {attempt.attempt}",
    }
    title = f"{run.job}, run {run.id}, try {attempt.attempt} of {run.attempt}"
    return Card(title, facts, state=attempt.state.value)


def facts(job: Job) -> dict[str, Any]:
    """Return what is to be said of a job."""
    return {
        "version": job.latest.version,
        "parameters": ", ".join(one.name for one in job.latest.parameters) or "none",
        "inputs": ", ".join(one.path for one in job.latest.inputs) or None,
        "image": job.latest.image,
        "schedule": in_words(job.schedule) or None,
        "each run with": pairs(job.schedule.parameters) or None if job.schedule else None,
        "owned by": f"the group {job.owner_group}" if job.owner_group else None,
        "seen by": _seen_by(job),
        "limits": _limits(job) or None,
        "policy": _policy(job.policy) or None,
    }


def _seen_by(job: Job) -> str | None:
    if job.visibility is Visibility.private:
        return None
    return f"the group {job.group}" if job.visibility is Visibility.group else "everyone"


def pairs(values: Mapping[str, Any]) -> str:
    """Write values as ``a=1, b='x'``."""
    return ", ".join(f"{name}={value!r}" for name, value in values.items())


def took(run: Run | Attempt) -> str | None:
    """Say how long a run or a try took; ``None`` before it has ended."""
    if run.started_at is None or run.ended_at is None:
        return None
    seconds = int((run.ended_at - run.started_at).total_seconds())
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def waits(run: Run) -> str | None:
    """Say until when a queued run waits; ``None`` when it does not."""
    if run.state is not RunState.queued or run.not_before is None:
        return None
    return f"waits until {run.not_before:%Y-%m-%d %H:%M:%S} UTC for try {run.attempt}"


def _limits(job: Job) -> str:
    given = job.resources
    said = [
        (given.memory_mb, f"{given.memory_mb} MiB"),
        (given.timeout_s, f"{duration(given.timeout_s or 0)} a run"),
        (given.cell_timeout_s, f"{duration(given.cell_timeout_s or 0)} a cell"),
        (given.max_output_mb, f"{given.max_output_mb} MiB of output"),
    ]
    return ", ".join(text for value, text in said if value is not None)


def _policy(policy: Policy) -> str:
    said = []
    if policy.retries:
        said.append(
            f"{policy.retries} {'retry' if policy.retries == 1 else 'retries'}, the first after "
            f"{duration(policy.retry_delay_s)}, then times {policy.retry_backoff:g}"
        )
    if policy.concurrency is not None:
        said.append(f"at most {policy.concurrency} at once")
    if policy.priority:
        said.append(f"priority {policy.priority}")
    if policy.keep_days is not None:
        said.append(f"outputs kept {policy.keep_days} days")
    if policy.keep_failed_days is not None:
        said.append(f"failures kept {policy.keep_failed_days} days")
    return ", ".join(said)


def notifications_table(found: Sequence[Notification]) -> Listing:
    """Make the table of who is told of a job's runs."""
    rows = [
        [
            order.id,
            order.channel.value,
            order.target,
            told_of(order),
            f"{order.last_sent_at:%Y-%m-%d %H:%M}" if order.last_sent_at else "",
            order.last_error or "",
        ]
        for order in found
    ]
    columns = ["id", "by", "to", "of", "last (UTC)", "error"]
    return Listing(columns, rows, empty="Nobody is told of its runs.")


def deliveries_table(found: Sequence[Delivery]) -> Listing:
    """Make the table of the messages that a job sent."""
    rows = [
        [
            f"{one.created_at:%Y-%m-%d %H:%M}",
            one.event.value,
            one.target,
            one.run_id or "",
            one.state.value,
            one.attempts,
            one.error or "",
        ]
        for one in found
    ]
    columns = ["at (UTC)", "of", "to", "run", "state", "attempts", "error"]
    return Listing(columns, rows, empty="No message was sent in the last 90 days.")


def related_table(found: Sequence[RelatedRun]) -> Listing:
    """Make the table of the runs that read or made something."""
    rows = [
        [one.job, one.owner, Chip(one.state.value), f"{one.queued_at:%Y-%m-%d %H:%M}", one.id]
        for one in found
    ]
    columns = ["job", "owner", "state", "queued (UTC)", "run"]
    return Listing(columns, rows, empty="No run of a job that you may see.")


def lineage_table(found: Lineage) -> Listing:
    """Make the table of what a run read and recorded, and its neighbours."""
    rows: list[list[Any]] = [
        *(
            ["ran after", f"{one.job}, run {one.id}", Chip(one.state.value)]
            for one in found.upstream
        ),
        *(["read", name, ""] for name in found.datasets),
        *(
            ["tracked", f"{one.experiment}: {one.name}, {one.id}", one.state]
            for one in found.tracked
        ),
        *(["made", f"{one.model} version {one.version}", ""] for one in found.models),
        *(
            ["followed by", f"{one.job}, run {one.id}", Chip(one.state.value)]
            for one in found.downstream
        ),
    ]
    return Listing(
        ["", "what", "state"],
        rows,
        caption=found.incomplete or "",
        empty=found.incomplete or "It read no dataset, recorded nothing, and follows no run.",
    )

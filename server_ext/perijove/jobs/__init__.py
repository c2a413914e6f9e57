"""Jobs from Python: promote, run and watch.

Everything goes through the control plane, as whoever the environment says.
"""

from __future__ import annotations

from perijove.jobs.backfilling import (
    backfill,
    backfills,
    cancel_backfill,
    show_backfill,
    slots,
    wait_backfill,
)
from perijove.jobs.editing import delete, edit, pause, preview, resume
from perijove.jobs.exporting import export
from perijove.jobs.finding import JobError
from perijove.jobs.notifying import (
    deliveries,
    notifications,
    notify,
    try_notification,
    unnotify,
)
from perijove.jobs.promoting import create, from_text, inspect, name_for, values
from perijove.jobs.running import (
    cancel,
    list,  # noqa: A004
    logs,
    run,
    runs,
    show,
    show_run,
    wait,
)
from perijove.jobs.sweeping import cancel_sweep, show_sweep, sweep, sweeps, trials, wait_sweep
from perijove.jobs.versioning import approve, diff, disapprove, versions
from perijove.jobs.watching import (
    artifacts,
    attempts,
    compare,
    download,
    failure,
    lineage,
    related,
    rerun,
    save_notebook,
)

__all__ = [
    "JobError",
    "approve",
    "artifacts",
    "attempts",
    "backfill",
    "backfills",
    "cancel",
    "cancel_backfill",
    "cancel_sweep",
    "compare",
    "create",
    "delete",
    "deliveries",
    "diff",
    "disapprove",
    "download",
    "edit",
    "export",
    "failure",
    "from_text",
    "inspect",
    "lineage",
    "list",
    "logs",
    "name_for",
    "notifications",
    "notify",
    "pause",
    "preview",
    "related",
    "rerun",
    "resume",
    "run",
    "runs",
    "save_notebook",
    "show",
    "show_backfill",
    "show_run",
    "show_sweep",
    "slots",
    "sweep",
    "sweeps",
    "trials",
    "try_notification",
    "unnotify",
    "values",
    "versions",
    "wait",
    "wait_backfill",
    "wait_sweep",
]

"""``perijove jobs``: promote notebooks and run them, as the magics do."""

from __future__ import annotations

import click

from perijove_hub.cli.jobs.history import (
    approve,
    artifacts,
    compare,
    diff,
    export,
    lineage,
    rerun,
    runs,
    versions,
)
from perijove_hub.cli.jobs.notifying import notifications, notify
from perijove_hub.cli.jobs.promoting import create, delete, edit, pause, preview, resume
from perijove_hub.cli.jobs.ranges import backfill, backfills, sweep, sweeps
from perijove_hub.cli.jobs.running import cancel, list_, logs, run, show_


class InOrder(click.Group):
    """A group that lists its commands in the order they were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List them."""
        return list(self.commands)


@click.group(cls=InOrder)
def jobs() -> None:
    """Promote notebooks and run them; PERIJOVE_URL and PERIJOVE_TOKEN say where and who."""


#: In the order a person meets them.
for _command in (
    create,
    run,
    list_,
    show_,
    runs,
    logs,
    cancel,
    edit,
    pause,
    resume,
    preview,
    rerun,
    artifacts,
    lineage,
    compare,
    versions,
    diff,
    approve,
    export,
    backfill,
    backfills,
    sweep,
    sweeps,
    notify,
    notifications,
    delete,
):
    jobs.add_command(_command)

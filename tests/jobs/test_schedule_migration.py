"""A slot that an older Perijove has served is not served again by this one."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from alembic import command
from sqlalchemy import select, text

from perijove_hub.jobs.scheduler import Scheduler
from perijove_hub.store.migrate import _config, upgrade
from perijove_hub.store.models import RunRow, ScheduleRow
from tests.jobs.scheduling import context_on, now_of

#: A job with a schedule and the run of its slot, as schema 0002 has them.
OLD = (
    """insert into jobs (id, name, owner, visibility, created_at, updated_at)
    values ('j', 'old', 'ada', 'private', :at, :at)""",
    """insert into job_versions (job_id, version, notebook_sha256, parameters, path, created_by,
    created_at) values ('j', 1, 'x', '[]', '', 'ada', :at)""",
    """insert into schedules (job_id, cron, timezone, parameters, paused, next_slot, created_at,
    updated_at) values ('j', '0 0 29 2 *', 'UTC', '{}', 0, :at, :at, :at)""",
    """insert into runs (id, job_id, version, owner, requested_by, trigger, slot, attempt, epoch,
    state, parameters, cells_done, cells_total, current_cell, queued_at)
    values ('r', 'j', 1, 'ada', 'ada', 'schedule', :at, 1, 0, 'succeeded', '{}', 0, 0, '', :at)""",
)
STORED = "%Y-%m-%d %H:%M:%S.%f"


def test_a_slot_served_before_the_migration_has_the_key_that_keeps_it_from_coming_again(
    tmp_path: Path,
) -> None:
    context = context_on(f"sqlite:///{tmp_path / 'store.sqlite'}", tmp_path / "data")
    slot = now_of(context.database).replace(second=0) - timedelta(minutes=2)
    values = {"at": slot.strftime(STORED)}
    with context.database.engine.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        for statement in OLD:
            connection.execute(text(statement), values)
    upgrade(context.database)
    Scheduler(context).step()
    with context.database.reading() as session:
        run = session.scalars(select(RunRow)).one()
        row = session.get_one(ScheduleRow, "j")
    assert (run.id, run.key) == ("r", f"slot:{slot.isoformat()}")
    assert row.last_slot == slot
    assert row.next_slot and row.next_slot > slot
    context.database.close()

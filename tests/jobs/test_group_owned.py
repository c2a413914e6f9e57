"""A job that a group owns: its members change it, and nobody acts with another's rights."""

from __future__ import annotations

import pytest

from perijove.types.base import Visibility
from perijove.types.jobs import JobUpdate, RunCreate, RunState, Schedule
from perijove.types.secrets import SecretCreate
from perijove_hub.exceptions import Conflict, Invalid, NotFound, Refused
from perijove_hub.secrets.service import SecretService
from perijove_hub.store.models import ScheduleRow, utcnow
from tests.jobs.conftest import ADA, ADMIN, BOB, GRACE, TUTORIAL, Platform
from tests.jobs.notebooks import code, notebook

BOBS = notebook(code("C: float = 0.5", tags=["parameters"]), code("print('bob')"))


def test_members_run_change_promote_and_delete_it(platform: Platform) -> None:
    job = platform.promote(owner_group="research")
    assert (job.owner, job.owner_group, job.group) == ("ada", "research", "research")
    second = platform.promote(BOBS, by=BOB, owner_group="research")
    assert (second.id, second.latest.version, second.latest.created_by) == (job.id, 2, "bob")
    change = JobUpdate(schedule=Schedule(every_s=3600))
    assert platform.jobs.update(BOB, job.id, change).schedule is not None
    run = platform.run(job, by=BOB)
    assert platform.runs.cancel(BOB, run.id).state is RunState.cancelled
    platform.jobs.delete(BOB, job.id)
    with pytest.raises(NotFound):
        platform.jobs.get(ADA, job.id)


def test_a_run_acts_as_who_promoted_its_version(platform: Platform) -> None:
    job = platform.promote(owner_group="research")
    platform.promote(BOBS, by=BOB, owner_group="research")
    assert platform.run(job, by=ADA).owner == "bob"
    body = RunCreate(version=1)
    assert platform.runs.create(BOB, job.id, body, key=None).owner == "ada"


def test_taking_it_from_the_group_lends_nobodys_rights(platform: Platform) -> None:
    job = platform.promote(owner_group="research")
    platform.promote(BOBS, by=BOB, owner_group="research")
    change = JobUpdate(visibility=Visibility.private, schedule=Schedule(every_s=3600))
    taken = platform.jobs.update(BOB, job.id, change)
    assert (taken.owner, taken.owner_group) == ("ada", None)
    with platform.context.database.session() as session:
        session.get_one(ScheduleRow, job.id).next_slot = utcnow()
    platform.duty.tick()
    (run,) = platform.runs.list(ADA, job.id, state=None, cursor=None, limit=9).items
    assert (run.trigger, run.owner) == ("schedule", "bob")
    with pytest.raises(NotFound):
        platform.jobs.get(BOB, job.id)


def test_the_secrets_are_the_promoters(platform: Platform) -> None:
    cells = notebook(
        code("from perijove import Secret\nkey: Secret", tags=["parameters"]), code("print(1)")
    )
    SecretService(platform.context).put(ADA, "ADAS", SecretCreate(value="a value"))
    platform.promote(cells, owner_group="research")
    job = platform.promote(
        notebook(*cells["cells"], code("print(2)")), by=BOB, owner_group="research"
    )
    with pytest.raises(Invalid, match="bob has no secret 'ADAS'"):
        platform.run(job, by=ADA, key="ADAS")


def test_strangers_and_who_only_sees_it_are_refused(platform: Platform) -> None:
    job = platform.promote(owner_group="research")
    with pytest.raises(NotFound):
        platform.run(job, by=GRACE)
    seen = platform.promote(name="seen", visibility=Visibility.group, group="research")
    with pytest.raises(Refused):
        platform.run(seen, by=BOB)
    # A job of one's own of that name, not the group's.
    other = platform.promote(by=GRACE)
    assert (other.owner, other.owner_group) == ("grace", None)


def test_a_name_is_once_in_a_group(platform: Platform) -> None:
    ours = platform.promote(owner_group="research")
    own = platform.promote(BOBS, by=BOB)
    assert own.id != ours.id
    with pytest.raises(Conflict, match="'research' has a job 'tutorial' already, which ada made"):
        platform.jobs.update(BOB, own.id, JobUpdate(owner_group="research"))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"owner_group": "risk"}, "not a group of yours"),
        ({"owner_group": "research", "visibility": Visibility.everyone}, "Who owns it sees it"),
        ({"owner_group": "research", "group": "risk"}, "Who owns it sees it"),
    ],
)
def test_what_cannot_own_it_is_said_at_the_field(
    platform: Platform, more: dict[str, object], words: str
) -> None:
    with pytest.raises(Invalid, match=words) as refused:
        platform.promote(TUTORIAL, **more)
    assert refused.value.field == "owner_group"


def test_an_administrator_gives_it_to_any_group(platform: Platform) -> None:
    job = platform.promote()
    assert platform.jobs.update(ADMIN, job.id, JobUpdate(owner_group="risk")).group == "risk"

"""Versions of images: asked for, approved, retired, rolled back, and by whom."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from perijove.types.base import Principal, Visibility
from perijove.types.images import BuildState, ImageBuild, ImageSpec, ImageState, Rollback
from perijove_hub.exceptions import Conflict, Invalid, NotFound, ProblemError, Refused
from perijove_hub.images import ledger
from perijove_hub.images.builds import MAX_WAITING
from perijove_hub.store.models import AuditRow, BuildRow
from tests.images.conftest import CPU, Shelf
from tests.jobs.conftest import ADA, ADMIN, BOB, GRACE, someone

FAILED = ledger.Ending(BuildState.failed, "Step 1 of 3, pip, failed with status 1:\nno such thing")


def test_a_build_is_queued_with_a_draft_of_the_next_version(shelf: Shelf) -> None:
    first, second = shelf.ask(base="cpu"), shelf.ask()
    assert (first.state, first.version, second.version) == (BuildState.queued, 1, 2)
    version = shelf.images.version(ADA, "geo", 1)
    assert (version.state, version.digest, version.base_digest) == (ImageState.draft, None, CPU)
    assert version.interfaces == ["lab", "terminal"]
    # The version that the name stood for, and not whatever it stands for later.
    assert version.spec is not None
    assert version.spec.base == "cpu@1"
    assert version.build == shelf.builds.get(ADA, first.id)


def test_what_passes_its_tests_waits_for_an_administrator(shelf: Shelf) -> None:
    shelf.made(shelf.ask())
    assert shelf.images.version(ADA, "geo", 1).state is ImageState.tested
    with pytest.raises(Invalid, match=r"No version of 'geo' is approved"):
        shelf.starts("geo")
    for who in (ADA, someone("carol", "research")):
        with pytest.raises((Refused, NotFound)):
            shelf.images.approve(who, "geo", 1)
    approved = shelf.images.approve(ADMIN, "geo", 1)
    assert (approved.state, approved.approved_by) == (ImageState.approved, "admin")
    assert shelf.starts("geo") == "sha256:" + "1" * 64


def test_an_administrator_may_approve_beforehand_and_nobody_else(shelf: Shelf) -> None:
    with pytest.raises(Refused, match="Only administrators approve"):
        shelf.ask(approve=True)
    shelf.made(shelf.ask(by=ADMIN, approve=True))
    assert shelf.starts("geo", ADMIN)


def test_without_approval_what_passes_its_tests_starts(shelf: Shelf) -> None:
    shelf.context.settings.images.approval = False
    shelf.made(shelf.ask())
    assert shelf.starts("geo")


def test_a_failed_build_leaves_a_draft_that_nobody_approves(shelf: Shelf) -> None:
    build = shelf.ask()
    shelf.end(build, FAILED)
    assert shelf.builds.get(ADA, build.id).reason == FAILED.reason
    version = shelf.images.version(ADA, "geo", 1)
    assert (version.state, version.digest) == (ImageState.draft, None)
    with pytest.raises(Conflict, match="only tested versions are approved"):
        shelf.images.approve(ADMIN, "geo", 1)


def test_a_worker_that_was_replaced_writes_nothing(shelf: Shelf) -> None:
    build = shelf.ask()
    with shelf.context.database.session() as session:
        row = session.get_one(BuildRow, build.id)
        old = ledger.claim(session, row)
        assert old is not None
        session.refresh(row)
        assert ledger.adopt(session, row) == old + 1
        assert not ledger.finish(session, build.id, old, FAILED, approval=True)
        assert not ledger.progressed(session, build.id, old, step=1, steps=3, name="pip")
    assert shelf.builds.get(ADA, build.id).state is BuildState.running


def test_a_newer_version_becomes_current_and_an_older_one_does_not(shelf: Shelf) -> None:
    for digit in "123":
        shelf.made(shelf.ask(), digit)
    for number, current in ((2, 2), (1, 2), (3, 3)):
        shelf.images.approve(ADMIN, "geo", number)
        assert shelf.images.get(ADA, "geo").current == current


def three(shelf: Shelf, **spec: object) -> None:
    shelf.context.settings.images.approval = False
    for digit in "123":
        shelf.made(shelf.ask(**spec), digit)


def test_a_rollback_changes_what_the_name_stands_for(shelf: Shelf) -> None:
    three(shelf)
    assert shelf.images.rollback(ADA, "geo", Rollback(version=1)).current == 1
    assert shelf.starts("geo") == "sha256:" + "1" * 64
    assert shelf.starts("geo@3") == "sha256:" + "3" * 64


def test_a_rollback_is_to_an_approved_version(shelf: Shelf) -> None:
    three(shelf)
    shelf.images.retire(ADA, "geo", 2)
    for number in (2, 9):
        with pytest.raises(Invalid) as caught:
            shelf.images.rollback(ADA, "geo", Rollback(version=number))
        assert caught.value.fix == "Approved are: 1, 3."


def test_what_is_shared_is_rolled_back_by_administrators(shelf: Shelf) -> None:
    three(shelf, visibility=Visibility.group)
    for who in (ADA, BOB):
        with pytest.raises(Refused):
            shelf.images.rollback(who, "geo", Rollback(version=1))
    assert shelf.images.rollback(ADMIN, "geo", Rollback(version=1)).current == 1


def test_a_retired_version_starts_no_more_and_the_next_newest_is_current(shelf: Shelf) -> None:
    three(shelf)
    shelf.images.retire(ADA, "geo", 3)
    assert shelf.images.get(ADA, "geo").current == 2
    with pytest.raises(Invalid, match="'geo@3' is retired"):
        shelf.starts("geo@3")
    shelf.images.retire(ADA, "geo", 2)
    shelf.images.retire(ADA, "geo", 1)
    assert shelf.images.get(ADA, "geo").current is None
    with pytest.raises(Conflict):
        shelf.images.approve(ADMIN, "geo", 3)


def test_a_version_that_is_being_built_is_not_retired(shelf: Shelf) -> None:
    shelf.ask()
    with pytest.raises(Conflict, match="is being built"):
        shelf.images.retire(ADA, "geo", 1)


def test_others_change_nothing_and_strangers_see_nothing(shelf: Shelf) -> None:
    three(shelf, visibility=Visibility.group)
    build = shelf.images.version(ADA, "geo", 3).build
    assert build is not None
    for who, error in ((BOB, Refused), (GRACE, NotFound)):
        with pytest.raises(error):
            shelf.images.retire(who, "geo", 1)
        with pytest.raises(error):
            shelf.builds.cancel(who, build.id)
        with pytest.raises(Conflict, match="taken by someone else"):
            shelf.ask(by=who)
    assert shelf.builds.log(BOB, build.id, 0).ended
    with pytest.raises(NotFound):
        shelf.builds.log(GRACE, build.id, 0)


@pytest.mark.parametrize("who", [ADA, someone("perijove")])
def test_nobody_but_administrators_touches_perijoves_own(shelf: Shelf, who: Principal) -> None:
    with pytest.raises(Refused):
        shelf.images.retire(who, "cpu", 1)
    with pytest.raises(Refused):
        shelf.images.rollback(who, "cpu", Rollback(version=1))
    with pytest.raises(Invalid, match="name of one of Perijove's"):
        shelf.ask("cpu", by=who)
    shelf.images.retire(ADMIN, "cpu", 1)
    with pytest.raises(Invalid):
        shelf.starts("cpu")


def test_a_base_is_one_that_starts_and_that_the_caller_sees(shelf: Shelf) -> None:
    shelf.ask("private")
    for who, base in ((ADA, "private"), (ADA, "nothing"), (GRACE, "private@1")):
        with pytest.raises(Invalid) as caught:
            shelf.ask("next", by=who, base=base)
        assert caught.value.field == "spec.base"


def test_conda_packages_need_a_base_with_conda(shelf: Shelf) -> None:
    with pytest.raises(Invalid, match="has no conda") as caught:
        shelf.ask(conda=["numpy"])
    assert caught.value.field == "spec.conda"


def test_nothing_is_built_without_docker(shelf: Shelf) -> None:
    object.__setattr__(shelf.context.topology, "spawner", "local")
    with pytest.raises(Conflict, match="without Docker"):
        shelf.ask()


def test_the_same_key_builds_once(shelf: Shelf) -> None:
    body = ImageBuild(spec=ImageSpec(name="geo", pip=["polars"]))
    builds = [shelf.builds.create(ADA, body, key="k").id for _ in range(2)]
    assert builds[0] == builds[1]
    other = ImageBuild(spec=ImageSpec(name="geo", pip=["duckdb"]))
    with pytest.raises(Conflict, match="Idempotency-Key"):
        shelf.builds.create(ADA, other, key="k")


def test_a_user_cannot_fill_the_queue(shelf: Shelf) -> None:
    for _ in range(MAX_WAITING):
        shelf.ask()
    with pytest.raises(Conflict, match="wait or run already"):
        shelf.ask()
    shelf.ask("bobs", by=BOB)


def test_a_queued_build_is_cancelled_at_once_and_a_running_one_by_its_worker(
    shelf: Shelf,
) -> None:
    queued, running = shelf.ask(), shelf.ask()
    ended = shelf.builds.cancel(ADA, queued.id)
    assert (ended.state, ended.reason) == (BuildState.cancelled, "Cancelled by ada.")
    with shelf.context.database.session() as session:
        ledger.claim(session, session.get_one(BuildRow, running.id))
    assert shelf.builds.cancel(ADMIN, running.id).state is BuildState.running
    with shelf.context.database.reading() as session:
        assert session.get_one(BuildRow, running.id).cancel_requested


def test_images_are_found_by_words_owner_state_and_package(shelf: Shelf) -> None:
    three(shelf, description="Maps and such")

    def found(**query: object) -> list[str]:
        given = {"q": None, "owner": None, "state": None, "package": None, **query}
        page = shelf.images.list(ADA, cursor=None, limit=50, **given)  # type: ignore[arg-type]
        return [one.name for one in page.items]

    assert found() == ["cpu", "geo"]
    assert found(q="MAPS") == found(owner="ada") == found(package="Polars") == ["geo"]
    assert found(package="pandas") == ["cpu"]
    assert found(state=ImageState.approved) == ["cpu", "geo"]
    shelf.ask()
    assert found(state=ImageState.draft) == ["geo"]
    assert found(q="%") == []


def test_lists_page(shelf: Shelf) -> None:
    three(shelf)
    first = shelf.images.versions(ADA, "geo", cursor=None, limit=2)
    rest = shelf.images.versions(ADA, "geo", cursor=first.next_cursor, limit=2)
    assert [one.version for one in (*first.items, *rest.items)] == [3, 2, 1]


def test_visibility_is_changed_by_a_new_version_that_names_one(shelf: Shelf) -> None:
    shelf.ask(visibility=Visibility.group)
    shelf.ask()
    assert shelf.images.get(BOB, "geo").group == "research"
    shelf.ask(visibility=Visibility.private)
    with pytest.raises(NotFound):
        shelf.images.get(BOB, "geo")


def test_every_change_is_in_the_audit_log_with_its_digest(shelf: Shelf) -> None:
    shelf.made(shelf.ask())
    shelf.images.approve(ADMIN, "geo", 1)
    shelf.images.retire(ADA, "geo", 1)
    with shelf.context.database.reading() as session:
        rows = session.scalars(select(AuditRow).where(AuditRow.object == "image/geo")).all()
    assert [(row.actor, row.verb) for row in rows] == [
        ("ada", "image.build"),
        ("ada", "image.build.succeeded"),
        ("admin", "image.approve"),
        ("ada", "image.retire"),
    ]
    assert rows[2].detail == {"version": 1, "digest": "sha256:" + "1" * 64}


def test_problems_name_what_to_do(shelf: Shelf) -> None:
    with pytest.raises(ProblemError) as caught:
        shelf.images.get(ADA, "cpo")
    assert caught.value.fix == "Did you mean 'cpu'?"

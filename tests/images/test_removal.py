"""What leaves the engine: retired versions that nothing uses, and no other."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from perijove.types.images import ImageBuild, ImageSpec
from perijove_hub.exceptions import Invalid
from perijove_hub.images import removal
from perijove_hub.store.models import (
    Base,
    BuildRow,
    DeploymentRow,
    ImageRow,
    ImageVersionRow,
    JobRow,
    JobVersionRow,
    KernelRow,
    ShareRow,
    UsageRow,
    WarmRow,
    utcnow,
)
from tests.images.conftest import Shelf
from tests.jobs.conftest import ADA, ADMIN

DIGEST = "sha256:" + "1" * 64
#: What "unused since" means here.
MONTH = timedelta(days=30)


@pytest.fixture
def retired(shelf: Shelf) -> Shelf:
    """geo@1, which started once and was retired long ago; geo@2 is current."""
    shelf.made(shelf.ask(approve=True, by=ADMIN), "1")
    shelf.made(shelf.ask(approve=True, by=ADMIN, pip=["httpx"]), "2")
    shelf.images.retire(ADMIN, "geo", 1)
    change(shelf, lambda version: setattr(version, "retired_at", utcnow() - 2 * MONTH))
    return shelf


def change(shelf: Shelf, how: Callable[[ImageVersionRow], object], number: int = 1) -> None:
    with shelf.context.database.session() as session:
        how(row(session, number))


def row(session: Session, number: int = 1) -> ImageVersionRow:
    image = session.query(ImageRow).filter_by(name="geo").one()
    return session.get_one(ImageVersionRow, (image.id, number))


def unused(shelf: Shelf) -> list[str]:
    with shelf.context.database.reading() as session:
        found = removal.unused(session, utcnow() - MONTH)
        return [f"{name}@{version.version}" for name, version in found]


def test_what_was_retired_long_ago_goes(retired: Shelf) -> None:
    assert unused(retired) == ["geo@1"]


def test_what_was_retired_lately_or_not_at_all_stays(retired: Shelf) -> None:
    change(retired, lambda version: setattr(version, "retired_at", utcnow() - MONTH / 2))
    assert unused(retired) == []


def test_perijoves_own_stay(retired: Shelf) -> None:
    with retired.context.database.session() as session:
        session.get_one(ImageRow, row(session).image_id).builtin = True
    assert unused(retired) == []


def test_what_is_removed_is_not_removed_again(retired: Shelf) -> None:
    change(retired, lambda version: setattr(version, "removed_at", utcnow()))
    assert unused(retired) == []


def job(**more: Any) -> list[Base]:
    return [
        JobRow(id="j", name="report", owner="ada", **more),
        JobVersionRow(
            job_id="j",
            version=1,
            notebook_sha256="0" * 64,
            image="geo@1",
            image_digest=DIGEST,
            created_by="ada",
        ),
    ]


def kernel(state: str) -> list[Base]:
    return [KernelRow(user="ada", image="geo@1", digest=DIGEST, size="small", state=state)]


def share(days: int) -> list[Base]:
    end = utcnow() + timedelta(days=days)
    return [ShareRow(sender="ada", receiver="bob", name="x", image_digest=DIGEST, expires_at=end)]


def use(ended: datetime | None) -> list[Base]:
    return [UsageRow(kind="workspace", object="ada/", user="ada", digest=DIGEST, ended_at=ended)]


def deployment() -> list[Base]:
    return [
        DeploymentRow(
            name="churn", owner="ada", model="m", version=1, workspace="w", image_digest=DIGEST
        )
    ]


def waiting() -> list[Base]:
    return [WarmRow(container="c", digest=DIGEST, size="small", recipe="r", slot="s")]


LATELY, LONG_AGO = utcnow() - MONTH / 2, utcnow() - 2 * MONTH


@pytest.mark.parametrize(
    ("rows", "stays"),
    [
        (job(), True),
        (job(deleted_at=datetime(2026, 1, 1, tzinfo=UTC)), False),
        (deployment(), True),
        (share(1), True),
        (share(-1), False),
        (waiting(), True),
        *((kernel(state), True) for state in ("queued", "starting", "running", "stopping")),
        *((kernel(state), False) for state in ("ended", "failed")),
        (use(None), True),
        (use(LATELY), True),
        (use(LONG_AGO), False),
    ],
)
def test_what_something_may_start_stays(retired: Shelf, rows: list[Base], stays: bool) -> None:
    with retired.context.database.session() as session:
        for one in rows:
            session.add(one)
            session.flush()
    assert unused(retired) == ([] if stays else ["geo@1"])


def test_the_same_image_under_another_name_stays(retired: Shelf) -> None:
    change(retired, lambda version: setattr(version, "digest", DIGEST), number=2)
    assert unused(retired) == []


def test_what_another_stands_on_goes_after_it(retired: Shelf) -> None:
    change(retired, lambda version: setattr(version, "base_digest", DIGEST), number=2)
    assert unused(retired) == []
    change(retired, lambda version: setattr(version, "removed_at", utcnow()), number=2)
    assert unused(retired) == ["geo@1"]


@pytest.mark.parametrize("state", ["queued", "running"])
def test_the_base_of_a_build_stays(retired: Shelf, state: str) -> None:
    build = retired.ask("other")
    with retired.context.database.session() as session:
        found = session.get_one(BuildRow, build.id)
        found.state = state
        session.get_one(ImageVersionRow, (found.image_id, 1)).base_digest = DIGEST
    assert unused(retired) == []
    with retired.context.database.session() as session:
        session.get_one(BuildRow, build.id).state = "failed"
    assert unused(retired) == ["geo@1"]


def test_who_asks_for_a_removed_version_is_told_and_can_build_it_again(retired: Shelf) -> None:
    change(
        retired, lambda version: setattr(version, "removed_at", datetime(2026, 1, 2, tzinfo=UTC))
    )
    with pytest.raises(Invalid) as caught:
        retired.starts("geo@1", ADMIN)
    assert "was retired, and removed on 2026-01-02 because nothing used it" in caught.value.detail
    assert caught.value.fix == "Choose 'geo@2'."
    retired.images.retire(ADMIN, "geo", 2)
    with pytest.raises(Invalid) as caught:
        retired.starts("geo@1", ADMIN)
    assert "perijove images spec geo@1" in str(caught.value.fix)
    version = retired.images.version(ADMIN, "geo", 1)
    assert version.removed_at
    assert isinstance(version.spec, ImageSpec)
    again = retired.builds.create(ADMIN, ImageBuild(spec=version.spec), key=None)
    assert (again.image, again.version) == ("geo", 3)


def test_retiring_says_when(retired: Shelf) -> None:
    retired.images.retire(ADMIN, "geo", 2)
    with retired.context.database.reading() as session:
        assert row(session, 2).retired_at is not None


def test_only_the_callers_builds_are_listed(shelf: Shelf) -> None:
    mine = [shelf.ask(), shelf.ask("other")]
    shelf.ask("theirs", by=ADMIN)
    page = shelf.builds.list(ADA, cursor=None, limit=1)
    rest = shelf.builds.list(ADA, cursor=page.next_cursor, limit=5)
    assert [one.id for one in (*page.items, *rest.items)] == [one.id for one in reversed(mine)]
    assert page.items[0].image == "other"

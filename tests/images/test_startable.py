"""What starts: approved versions with a digest, of images one may see, and nothing else."""

from __future__ import annotations

import pytest

from perijove.types.images import Package
from perijove_hub.context import Context
from perijove_hub.exceptions import Invalid
from perijove_hub.images import service
from perijove_hub.store.models import ImageRow, ImageVersionRow
from tests.jobs.conftest import ADA, ADMIN, BOB, GRACE

D1, D2 = "sha256:" + "1" * 64, "sha256:" + "2" * 64


def register(context: Context, digest: str = D1, name: str = "cpu") -> int:
    with context.database.session() as session:
        return service.register_builtin(
            session,
            name,
            digest=digest,
            description="Everyday",
            interfaces=["lab"],
            packages=[Package(manager="pip", name="pandas", version="3.1")],
        ).version


def adas(context: Context, state: str = "approved", **more: object) -> None:
    with context.database.session() as session:
        row = ImageRow(name="geo", owner="ada", current=1, **{"visibility": "private", **more})
        session.add(row)
        session.flush()
        session.add(
            ImageVersionRow(
                image_id=row.id, version=1, state=state, digest=D2, interfaces=[], created_by="ada"
            )
        )


def start(context: Context, reference: str | None, who: object = ADA) -> str | None:
    with context.database.reading() as session:
        return service.startable(session, who, reference, context.settings).digest  # type: ignore[arg-type]


def test_none_is_the_default_and_a_name_its_current_version(context: Context) -> None:
    register(context)
    assert start(context, None) == start(context, "cpu") == start(context, "cpu@1") == D1


def test_a_new_digest_is_a_new_version_and_the_current_one(context: Context) -> None:
    assert [register(context), register(context), register(context, D2)] == [1, 1, 2]
    assert start(context, "cpu") == D2
    assert start(context, "cpu@1") == D1


def test_a_rollback_outlasts_a_restart(context: Context) -> None:
    register(context)
    register(context, D2)
    with context.database.session() as session:
        session.query(ImageRow).one().current = 1
    register(context, D2)
    assert start(context, "cpu") == D1


def test_a_users_image_is_not_replaced_by_perijoves(context: Context) -> None:
    adas(context)
    with pytest.raises(Invalid, match="ada has an image 'geo'"):
        register(context, name="geo")


@pytest.mark.parametrize("state", ["draft", "tested", "retired"])
def test_only_approved_versions_start(context: Context, state: str) -> None:
    adas(context, state)
    for reference in ("geo", "geo@1"):
        with pytest.raises(Invalid, match="only approved versions start"):
            start(context, reference)


def test_an_approved_version_without_a_digest_does_not_start(context: Context) -> None:
    adas(context)
    with context.database.session() as session:
        session.query(ImageVersionRow).one().digest = None
    with pytest.raises(Invalid):
        start(context, "geo@1")
    assert not choices(context, "ada")


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "GEO",
        "geo@0",
        "geo@x",
        "geo@1@2",
        "perijove/cpu:latest",
        D1,
        "../geo",
        "geo\n",
        "g" * 99,
    ],
)
def test_what_is_no_name_is_refused(context: Context, reference: str) -> None:
    register(context)
    with pytest.raises(Invalid) as caught:
        start(context, reference)
    assert caught.value.field == "image"


def test_what_one_may_not_see_reads_as_if_it_were_not_there(context: Context) -> None:
    adas(context)
    register(context)
    assert start(context, "geo", ADA) == start(context, "geo", ADMIN) == D2
    with pytest.raises(Invalid) as hidden:
        start(context, "geo", BOB)
    with pytest.raises(Invalid) as absent:
        start(context, "abc", BOB)
    assert (hidden.value.detail, hidden.value.fix) == (
        absent.value.detail.replace("abc", "geo"),
        absent.value.fix,
    )


def test_a_groups_image_is_for_the_group(context: Context) -> None:
    adas(context, visibility="group", group="research")
    assert start(context, "geo", BOB) == D2
    with pytest.raises(Invalid):
        start(context, "geo", GRACE)


def choices(context: Context, user: str, *groups: str) -> list[str]:
    with context.database.reading() as session:
        return [one.name for one in service.choices(session, user, groups)]


def test_choices_are_what_starts(context: Context) -> None:
    adas(context, visibility="group", group="research")
    register(context)
    assert choices(context, "bob", "research") == ["cpu", "geo"]
    assert choices(context, "grace", "risk") == ["cpu"]


def test_runs_start_with_the_rights_their_owner_has_now(context: Context) -> None:
    adas(context)
    with context.database.reading() as session:
        found = service.started(session, "ada", "geo@1", context.settings)
        assert (found.digest, found.reference) == (D2, "geo@1")
        with pytest.raises(Invalid):
            service.started(session, "bob", "geo@1", context.settings)

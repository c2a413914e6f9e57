"""A version is its notebook, files, parameters and image, and never changes."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from sqlalchemy import select, update

from perijove.types.base import Visibility
from perijove.types.jobs import Follow, Job, JobVersion
from perijove.types.versions import Change, VersionDiff
from perijove_hub.exceptions import Invalid, NotFound, Refused
from perijove_hub.jobs import differences, versions
from perijove_hub.jobs.history import History
from perijove_hub.store.models import AuditRow, ImageRow, ImageVersionRow, JobVersionRow
from tests.jobs.conftest import ADA, ADMIN, BOB, GRACE, TUTORIAL, Platform
from tests.jobs.notebooks import code, markdown, notebook
from tests.jobs.test_promote import executed, kept

CHANGED = notebook(code("C: float = 0.7  # strength", tags=["parameters"]), code("print('C =', C)"))


def history(platform: Platform) -> History:
    return History(platform.context)


def diffed(platform: Platform, job: Job, before: int = 1, after: int = 2) -> VersionDiff:
    return history(platform).diff(ADA, job.id, before, after)


def with_image(platform: Platform, number: int) -> None:
    with platform.context.database.session() as session:
        image = session.scalar(select(ImageRow)) or ImageRow(name="geo", owner="ada")
        image.current = number
        session.add(image)
        session.flush()
        session.add(
            ImageVersionRow(
                image_id=image.id,
                version=number,
                state="approved",
                digest=f"sha256:{number:064x}",
                created_by="ada",
            )
        )


def test_the_same_content_is_the_same_version(platform: Platform) -> None:
    first = platform.promote(inputs=[kept("b.csv"), kept("a.csv")]).latest
    again = platform.promote(executed(TUTORIAL), inputs=[kept("a.csv"), kept("b.csv")]).latest
    assert (again, len(first.digest)) == (first, 64)


def test_two_jobs_of_the_same_content_have_the_same_digest(platform: Platform) -> None:
    mine, other = platform.promote().latest, platform.promote(by=GRACE, name="other").latest
    assert mine.digest == other.digest


def test_each_part_makes_another_version(platform: Platform) -> None:
    with_image(platform, 1)
    with_image(platform, 2)
    steps: list[dict[str, Any]] = [
        {},
        {"content": CHANGED},
        {"content": CHANGED, "inputs": [kept("a.csv")]},
        {"content": CHANGED, "inputs": [kept("a.csv", b"other")]},
        {"content": CHANGED, "inputs": [kept("b.csv", b"other")]},
        {"content": CHANGED, "image": "geo@1"},
        {"content": CHANGED, "image": "geo@2"},
    ]
    made = [platform.promote(**step).latest for step in steps]
    assert [one.version for one in made] == [1, 2, 3, 4, 5, 6, 7]
    assert len({one.digest for one in made}) == 7


def test_going_back_is_a_new_version_with_the_old_digest(platform: Platform) -> None:
    first = platform.promote().latest
    platform.promote(CHANGED)
    back = platform.promote().latest
    assert (back.version, back.digest) == (3, first.digest)


def test_a_version_from_before_digests_is_still_known(platform: Platform) -> None:
    first = platform.promote().latest
    with platform.context.database.session() as session:
        session.execute(update(JobVersionRow).values(digest=""))
    assert platform.promote().latest == first


def test_an_earlier_version_stays_as_it_was(platform: Platform) -> None:
    job = platform.promote(inputs=[kept("a.csv")])
    platform.promote(CHANGED)
    assert history(platform).get(ADA, job.id, 1) == job.latest
    source = json.loads(history(platform).notebook(ADA, job.id, 1))["cells"][0]["source"]
    assert source == "C: float = 0.5  # strength"


def test_a_version_that_is_not_there_is_named(platform: Platform) -> None:
    job = platform.promote()
    for asked in (
        lambda: history(platform).get(ADA, job.id, 9),
        lambda: history(platform).notebook(ADA, job.id, 9),
        lambda: history(platform).diff(ADA, job.id, 1, 9),
        lambda: history(platform).approve(ADA, job.id, 9),
        lambda: history(platform).withdraw(ADA, job.id, 9),
    ):
        with pytest.raises(NotFound, match="no version 9"):
            asked()


def test_versions_of_a_private_job_are_nobody_elses(platform: Platform) -> None:
    job = platform.promote()
    for asked in (
        lambda: history(platform).get(GRACE, job.id, 1),
        lambda: history(platform).notebook(GRACE, job.id, 1),
        lambda: history(platform).diff(GRACE, job.id, 1, 1),
        lambda: history(platform).approve(GRACE, job.id, 1),
        lambda: history(platform).withdraw(GRACE, job.id, 1),
    ):
        with pytest.raises(NotFound, match="no such job"):
            asked()


def test_the_owner_approves_once_and_takes_it_back(platform: Platform) -> None:
    job = platform.promote()
    first = history(platform).approve(ADA, job.id, 1)
    assert first.approved_by == "ada"
    assert first.approved_at is not None
    # An administrator's approval on top changes nothing.
    assert history(platform).approve(ADMIN, job.id, 1) == first
    for _ in range(2):
        history(platform).withdraw(ADA, job.id, 1)
    assert history(platform).get(ADA, job.id, 1).approved_at is None
    with platform.context.database.reading() as session:
        verbs = session.scalars(select(AuditRow.verb).where(AuditRow.object == job.id)).all()
    assert verbs == ["job.promote", "job.approve", "job.withdraw"]


def test_who_only_sees_a_job_approves_nothing(platform: Platform) -> None:
    job = platform.promote(visibility=Visibility.group)
    assert history(platform).get(BOB, job.id, 1).version == 1
    with pytest.raises(Refused):
        history(platform).approve(BOB, job.id, 1)
    with pytest.raises(Refused):
        history(platform).withdraw(BOB, job.id, 1)
    assert history(platform).approve(ADMIN, job.id, 1).approved_by == "admin"


def followed(platform: Platform, job: Job, version: int | None, follow: str) -> int:
    with platform.context.database.reading() as session:
        return versions.followed(session, job.id, version=version, follow=follow).version


def test_what_a_schedule_follows(platform: Platform) -> None:
    job = platform.promote()
    platform.promote(CHANGED)
    assert followed(platform, job, None, Follow.latest) == 2
    assert followed(platform, job, 1, Follow.latest) == 1
    with pytest.raises(Invalid, match="No version of 'tutorial' is approved"):
        followed(platform, job, None, Follow.approved)
    with pytest.raises(Invalid, match="'tutorial' has no version 7"):
        followed(platform, job, 7, Follow.latest)
    history(platform).approve(ADA, job.id, 1)
    assert followed(platform, job, None, Follow.approved) == 1
    history(platform).approve(ADA, job.id, 2)
    assert followed(platform, job, None, Follow.approved) == 2
    history(platform).withdraw(ADA, job.id, 2)
    assert followed(platform, job, None, Follow.approved) == 1


def test_a_version_does_not_differ_from_itself(platform: Platform) -> None:
    job = platform.promote(inputs=[kept("a.csv")])
    assert diffed(platform, job, 1, 1) == VersionDiff(before=1, after=1, same=True)


def test_a_diff_tells_parameters_cells_files_and_image(platform: Platform) -> None:
    with_image(platform, 1)
    job = platform.promote(inputs=[kept("gone.csv"), kept("same.csv"), kept("other.csv", b"1")])
    changed = notebook(
        code("C: float = 0.7  # strength\nrows = 5", tags=["parameters"]), code("print('C =', C)")
    )
    changed["metadata"]["title"] = "Another"
    platform.promote(
        changed,
        image="geo@1",
        inputs=[kept("same.csv"), kept("other.csv", b"2"), kept("new.csv")],
    )
    found = diffed(platform, job)
    assert not found.same
    assert found.metadata
    told = {
        one.name: (one.before and one.before.default, one.after and one.after.default)
        for one in found.parameters
    }
    assert told == {"C": (0.5, 0.7), "rows": (None, 5)}
    files = {one.path: (one.before is not None, one.after is not None) for one in found.inputs}
    assert files == {
        "gone.csv": (True, False),
        "new.csv": (False, True),
        "other.csv": (True, True),
    }
    assert found.image is not None
    assert (found.image.before, found.image.after) == (None, "geo@1")
    (cell,) = found.cells
    assert (cell.change, cell.before, cell.after) == (Change.changed, 0, 0)
    assert cell.lines == [
        "@@ -1 +1,2 @@",
        "-C: float = 0.5  # strength",
        "+C: float = 0.7  # strength",
        "+rows = 5",
    ]


def cells(*sources: str, ids: bool = True) -> list[dict[str, Any]]:
    """Make cells that are called as their first word."""
    found = [code(source) for source in sources]
    return [one | {"id": one["source"].split()[0]} if ids else one for one in found]


def told(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    changes, _ = differences.cells(before, after)
    return [(str(one.change), one.before, one.after, one.lines) for one in changes]


def test_cells_are_told_by_their_ids() -> None:
    assert told(cells("a 1", "b 1", "c 1"), cells("new 1", "a 1", "c 2")) == [
        ("added", None, 0, ["+new 1"]),
        ("removed", 1, None, ["-b 1"]),
        ("changed", 2, 2, ["@@ -1 +1 @@", "-c 1", "+c 2"]),
    ]


def test_a_cell_that_stands_elsewhere_has_moved() -> None:
    assert told(cells("a", "b", "c", "d"), cells("d", "a", "b", "c")) == [("moved", 3, 0, [])]
    assert told(cells("a", "b 1", "c", "d"), cells("a", "c", "d", "b 2")) == [
        ("changed", 1, 3, ["@@ -1 +1 @@", "-b 1", "+b 2"])
    ]


def test_cells_without_ids_are_told_by_their_text() -> None:
    before, after = cells("a", "b", "c", ids=False), cells("a", "x", "b", "y", ids=False)
    assert told(before, after) == [
        ("added", None, 1, ["+x"]),
        ("changed", 2, 3, ["@@ -1 +1 @@", "-c", "+y"]),
    ]


def test_a_notebook_written_anew_with_other_ids_is_still_the_same() -> None:
    one = cells("a", "b")
    assert told(one, [cell | {"id": f"x-{at}"} for at, cell in enumerate(one)]) == []


def test_a_cell_of_another_type_is_another_cell() -> None:
    assert told([code("a") | {"id": "a"}], [markdown("a") | {"id": "a"}]) == [
        ("added", None, 0, ["+a"]),
        ("removed", 0, None, ["-a"]),
    ]


def test_a_tag_is_a_change() -> None:
    ((found,), _) = differences.cells([code("a")], [code("a", tags=["parameters"])])
    assert (found.change, found.metadata, found.lines) == (Change.changed, True, [])


@pytest.mark.parametrize("ids", [True, False])
def test_very_large_notebooks_are_compared_within_seconds_and_cut(*, ids: bool) -> None:
    before = cells(*(f"c{at} = 1" for at in range(10_000)), "big " + "x\n" * 50_000, ids=ids)
    after = cells(*(f"c{at} = 2" for at in range(10_000)), "big " + "y\n" * 50_000, ids=ids)
    began = time.monotonic()
    changes, is_cut = differences.cells(before, after)
    assert time.monotonic() - began < 20
    assert is_cut
    assert len(changes) == 10_001
    assert sum(len(one.lines) for one in changes) == differences.MOST_LINES


def test_text_made_to_take_long_is_compared_within_seconds() -> None:
    def hostile(number: int, shift: int) -> str:
        return "\n".join(f"{number if at % 7 else at} {(at * shift) % 25}" for at in range(249))

    before = cells(*(f"c{at} {hostile(at, 3)}" for at in range(500)))
    after = cells(*(f"c{at} {hostile(at, 11)}" for at in range(500)))
    repeated = [code(f"{at % 150}") for at in range(10_000)]
    began = time.monotonic()
    assert differences.cells(before, after)[1]
    differences.cells(repeated, repeated[::-1])
    assert time.monotonic() - began < 20


def test_a_very_long_line_is_cut() -> None:
    ((found,), is_cut) = differences.cells([], [code("x" * 5_000)])
    assert is_cut
    assert len(found.lines[0]) == 1_001


def test_the_wire_types_have_every_version(platform: Platform) -> None:
    job = platform.promote(inputs=[kept("a.csv")])
    platform.promote(CHANGED, inputs=[kept("b.csv")])
    page = history(platform).list(ADA, job.id, cursor=None, limit=5)
    assert [[file.path for file in one.inputs] for one in page.items] == [["b.csv"], ["a.csv"]]
    assert isinstance(page.items[0], JobVersion)

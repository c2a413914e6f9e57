"""Promotion keeps the same bytes for the same notebook, and refuses what is none."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest
from pydantic import ValidationError

from perijove.types.base import Principal, Visibility
from perijove.types.jobs import (
    InputFile,
    Job,
    JobCreate,
    JobUpdate,
    Resources,
    Run,
    RunCreate,
    RunState,
    Schedule,
)
from perijove_hub.exceptions import Conflict, Invalid, NotFound, Refused
from perijove_hub.jobs.history import History
from perijove_hub.jobs.render import as_html
from perijove_hub.jobs.service import JobSort
from perijove_hub.store.models import RunRow
from tests.jobs.conftest import ADA, ADMIN, BOB, GRACE, TUTORIAL, Platform, someone
from tests.jobs.notebooks import code, markdown, notebook


def executed(content: dict[str, Any]) -> dict[str, Any]:
    """Return the notebook as it is after somebody ran it and Jupyter saved it."""
    copy: dict[str, Any] = json.loads(json.dumps(content))
    for cell in copy["cells"]:
        cell["source"] = cell["source"].splitlines(keepends=True)
        if cell["cell_type"] == "code":
            cell["execution_count"] = 7
            cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "secret"}]
            cell["metadata"] |= {"trusted": True, "execution": {"iopub.status.idle": "2026"}}
    return copy


def test_a_first_promotion_makes_a_job_with_its_parameters(platform: Platform) -> None:
    job = platform.promote(path="work/tutorial.ipynb")
    assert (job.name, job.owner, job.visibility) == ("tutorial", "ada", Visibility.private)
    assert job.latest.version == 1
    assert job.latest.path == "work/tutorial.ipynb"
    assert [parameter.name for parameter in job.latest.parameters] == ["C"]
    assert job.last_run is None


def test_what_a_kernel_writes_into_a_notebook_as_it_starts_makes_no_new_version(
    platform: Platform,
) -> None:
    # As a program wrote it, and as JupyterLab has it once it was opened.
    made = {**TUTORIAL, "metadata": {"kernelspec": {"name": "python3", "display_name": "P"}}}
    spec = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    info = {"name": "python", "version": "3.11.7", "codemirror_mode": {"name": "ipython"}}
    opened = {**TUTORIAL, "metadata": {"kernelspec": spec, "language_info": info}}
    assert platform.promote(made).latest.version == platform.promote(opened).latest.version == 1
    other = {"kernelspec": {**spec, "name": "ir", "language": "R"}, "language_info": {"name": "R"}}
    job = platform.promote({**TUTORIAL, "metadata": other})
    assert job.latest.version == 2
    kept = json.loads(platform.context.blobs.get(job.latest.notebook_sha256))
    assert kept["metadata"]["kernelspec"] == {"name": "ir", "display_name": "ir", "language": "R"}


def test_the_same_notebook_makes_no_new_version_however_often_it_ran(platform: Platform) -> None:
    first = platform.promote()
    again = platform.promote(executed(TUTORIAL))
    assert (again.id, again.latest) == (first.id, first.latest)


def test_outputs_are_not_kept(platform: Platform) -> None:
    job = platform.promote(executed(TUTORIAL))
    kept = platform.context.blobs.get(job.latest.notebook_sha256)
    assert b"secret" not in kept


def test_a_changed_notebook_makes_the_next_version_and_keeps_the_rest(platform: Platform) -> None:
    platform.promote(
        schedule=Schedule(cron="0 6 * * *"),
        visibility=Visibility.group,
        resources=Resources(memory_mb=512),
    )
    changed = notebook(code("C: float = 0.5", tags=["parameters"]), code("print(2)"))
    job = platform.promote(changed)
    assert job.latest.version == 2
    assert job.schedule and job.schedule.cron == "0 6 * * *"
    assert (job.visibility, job.group) == (Visibility.group, "research")
    assert job.resources.memory_mb == 512
    versions = History(platform.context).list(ADA, job.id, cursor=None, limit=1)
    assert [one.version for one in versions.items] == [2]
    rest = History(platform.context).list(ADA, job.id, cursor=versions.next_cursor, limit=1)
    assert [one.version for one in rest.items] == [1]


def test_two_people_may_use_one_name(platform: Platform) -> None:
    assert platform.promote().id != platform.promote(by=GRACE).id


def test_a_key_sent_again_promotes_once(platform: Platform) -> None:
    body = JobCreate(name="tutorial", notebook=TUTORIAL)
    first, created = platform.jobs.promote(ADA, body, key="k1")
    again, created_again = platform.jobs.promote(ADA, body, key="k1")
    assert (created, created_again) == (True, False)
    assert first == again
    with pytest.raises(Conflict):
        platform.jobs.promote(ADA, JobCreate(name="other", notebook=TUTORIAL), key="k1")


def test_a_key_sent_again_runs_once(platform: Platform) -> None:
    job = platform.promote()
    body = RunCreate(parameters={"C": 1})
    first = platform.runs.create(ADA, job.id, body, key="k1")
    assert platform.runs.create(ADA, job.id, body, key="k1").id == first.id


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "no 'nbformat'"),
        ({"nbformat": 3, "nbformat_minor": 0, "worksheets": [], "metadata": {}}, "format 3"),
        ({"nbformat": 4, "cells": []}, "not a valid notebook"),
        (notebook(code("x") | {"source": 5}), "not a valid notebook"),
        (notebook(code("x") | {"metadata": "x"}), "not a valid notebook"),
        (notebook(code("x")) | {"metadata": []}, "not a valid notebook"),
        (notebook(code("x")) | {"nbformat_minor": "x"}, "not a valid notebook"),
        (notebook(code("x")) | {"nbformat_minor": None}, "not a valid notebook"),
        (notebook(code("x")) | {"metadata": {"kernelspec": 5}}, "not a valid notebook"),
        (notebook({"cell_type": "poem", "source": "", "metadata": {}}), "not a valid notebook"),
        (notebook(code("a = = 1", tags=["parameters"])), "not valid Python"),
        (notebook(markdown("\ud800")), "no text"),
    ],
)
def test_what_is_no_notebook_is_refused(platform: Platform, content: Any, message: str) -> None:
    with pytest.raises(Invalid, match=message) as caught:
        platform.promote(content)
    assert caught.value.field == "notebook"
    assert platform.context.data.root.joinpath("blobs").exists() is False


def test_a_notebook_too_large_without_its_outputs_is_refused(platform: Platform) -> None:
    with pytest.raises(Invalid, match="at most 20 are kept"):
        platform.promote(notebook(markdown("x" * 20_000_001)))


def test_metadata_that_no_browser_could_read_back_is_refused(platform: Platform) -> None:
    with pytest.raises(Invalid, match="not finite"):
        platform.promote(TUTORIAL | {"metadata": {"loss": float("nan")}})


def test_limits_above_the_platforms_are_refused(platform: Platform) -> None:
    with pytest.raises(Invalid) as caught:
        platform.promote(resources=Resources(memory_mb=1_000_000))
    assert caught.value.field == "resources.memory_mb"
    assert caught.value.fix and "at most 4096 MiB" in caught.value.fix


@pytest.mark.parametrize(
    ("given", "field", "message"),
    [
        ({"c": 1}, "parameters.c", "Did you mean 'C'"),
        ({"C": "1"}, "parameters.C", "must be a number"),
    ],
)
def test_a_wrong_parameter_is_refused_before_anything_is_queued(
    platform: Platform, given: dict[str, Any], field: str, message: str
) -> None:
    job = platform.promote()
    with pytest.raises(Invalid, match=message) as caught:
        platform.run(job, **given)
    assert caught.value.field == field
    assert platform.runs.list(ADA, job.id, state=None, cursor=None, limit=5).items == []


def test_a_run_of_an_earlier_version_uses_its_parameters(platform: Platform) -> None:
    platform.promote()
    job = platform.promote(notebook(code("rows = 1", tags=["parameters"])))
    body = RunCreate(parameters={"C": 2}, version=1)
    assert platform.runs.create(ADA, job.id, body, key=None).version == 1
    with pytest.raises(NotFound, match="no version 9"):
        platform.runs.create(ADA, job.id, RunCreate(version=9), key=None)


def test_a_private_job_is_nobody_elses(platform: Platform) -> None:
    job = platform.promote()
    run = platform.run(job)
    for other in (BOB, GRACE):
        _sees_nothing(platform, other, job=job, run=run)
    assert listed(platform, ADA) == listed(platform, ADMIN) == ["tutorial"]


def _sees_nothing(platform: Platform, other: Principal, *, job: Job, run: Run) -> None:
    for refused in (
        lambda: platform.jobs.get(other, job.id),
        lambda: History(platform.context).list(other, job.id, cursor=None, limit=5),
        lambda: platform.jobs.update(other, job.id, JobUpdate()),
        lambda: platform.jobs.delete(other, job.id),
        lambda: platform.run(job, by=other),
        lambda: platform.runs.list(other, job.id, state=None, cursor=None, limit=5),
        lambda: platform.runs.get(other, run.id),
        lambda: platform.runs.logs(other, run.id, 0),
        lambda: platform.runs.notebook(other, run.id),
        lambda: platform.runs.cancel(other, run.id),
    ):
        with pytest.raises(NotFound):
            refused()
    assert listed(platform, other) == []


def test_a_job_of_the_group_is_seen_and_not_run_or_changed_by_its_members(
    platform: Platform,
) -> None:
    job = platform.promote(visibility=Visibility.group)
    run = platform.run(job)
    assert platform.jobs.get(BOB, job.id).group == "research"
    assert platform.runs.get(BOB, run.id).id == run.id
    for refused in (
        lambda: platform.run(job, by=BOB),
        lambda: platform.runs.cancel(BOB, run.id),
        lambda: platform.jobs.delete(BOB, job.id),
        lambda: platform.jobs.update(BOB, job.id, JobUpdate(visibility=Visibility.everyone)),
    ):
        with pytest.raises(Refused):
            refused()
    with pytest.raises(NotFound):
        platform.jobs.get(GRACE, job.id)
    assert listed(platform, GRACE) == []


def test_a_deleted_jobs_waiting_runs_are_cancelled_and_say_why(platform: Platform) -> None:
    job = platform.promote()
    run = platform.run(job)
    platform.jobs.delete(ADA, job.id)
    with platform.context.database.reading() as session:
        row = session.get_one(RunRow, run.id)
    assert (row.state, row.cause, row.reason) == (
        "cancelled",
        "cancelled",
        "The job was deleted by ada.",
    )
    assert row.ended_at is not None
    assert platform.promote().id != job.id


def test_an_administrator_may_run_a_job_which_still_acts_as_its_owner(platform: Platform) -> None:
    run = platform.run(platform.promote(), by=ADMIN)
    assert (run.owner, run.requested_by) == ("ada", "admin")


def test_a_job_cannot_be_shared_with_a_group_one_is_not_in(platform: Platform) -> None:
    with pytest.raises(Invalid, match="not a group of yours"):
        platform.promote(visibility=Visibility.group, group="risk")
    two = someone("carol", "research", "risk")
    with pytest.raises(Invalid, match="Which group"):
        platform.promote(by=two, visibility=Visibility.group)


def listed(platform: Platform, who: Any, **query: Any) -> list[str]:
    names: list[str] = []
    cursor = None
    asked = {"q": None, "name": None, "owner": None, "state": None, "sort": JobSort.name, **query}
    while True:
        page = platform.jobs.list(who, cursor=cursor, limit=2, **asked)
        names += [job.name for job in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return names


def test_lists_page_filter_and_sort(platform: Platform) -> None:
    for name in ("b", "a", "d_x", "c"):
        platform.promote(name=name)
    platform.promote(name="e", by=GRACE)
    assert listed(platform, ADA) == ["a", "b", "c", "d_x"]
    assert listed(platform, ADA, sort=JobSort.name_down) == ["d_x", "c", "b", "a"]
    assert listed(platform, ADA, sort=JobSort.created) == ["b", "a", "d_x", "c"]
    assert listed(platform, ADA, q="_") == ["d_x"]
    assert listed(platform, ADMIN, owner="grace") == ["e"]
    assert listed(platform, ADA, name="c") == ["c"]
    platform.run(platform.promote(name="c"))
    assert listed(platform, ADA, state=RunState.queued) == ["c"]


def test_a_page_of_the_output_holds_no_scripts_and_fetches_nothing() -> None:
    content = notebook(markdown("# Title\n<script>alert(1)</script> $x^2$"), code("1"))
    content["cells"][1]["outputs"] = [
        {
            "output_type": "display_data",
            "metadata": {},
            "data": {"text/html": "<b>bold</b><script src='http://evil/x.js'></script>"},
        },
        {
            "output_type": "display_data",
            "metadata": {},
            "data": {"application/javascript": "alert(2)", "text/plain": "plain"},
        },
    ]
    page = as_html(json.dumps(content).encode())
    assert "<script" not in page
    assert "alert(2)" not in page
    assert "<b>bold</b>" in page
    assert "plain" in page
    assert "cdnjs" not in page
    assert 'id="cell-id=cell-1"' in page


def kept(path: str, content: bytes = b"a,b\n1,2\n") -> InputFile:
    return InputFile(path=path, content=base64.b64encode(content).decode())


def test_files_are_kept_with_the_notebook(platform: Platform) -> None:
    job = platform.promote(inputs=[kept("data/points.csv"), kept("helpers.py", b"x = 1\n")])
    found = {file.path: file for file in job.latest.inputs}
    assert list(found) == ["data/points.csv", "helpers.py"]
    assert found["helpers.py"].bytes == 6
    assert platform.context.blobs.get(found["helpers.py"].sha256) == b"x = 1\n"
    assert platform.jobs.get(ADA, job.id).latest.inputs == job.latest.inputs


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/etc/passwd", "not below the notebook's folder"),
        ("../secret.csv", "not below the notebook's folder"),
        ("data/../../x", "not below the notebook's folder"),
        ("a//b", "not a plain path"),
        ("./a", "not a plain path"),
        ("a/", "not a plain path"),
        ("a\nb", "characters that no file here may have"),
        ("a\x00b", "characters that no file here may have"),
        ("a\\b", "characters that no file here may have"),
        ("a\u202eb", "characters that no file here may have"),
        ("ä" * 128, "more than 255 bytes"),
        ("outputs/x.csv", "every run fills itself"),
        ("inputs/x.csv", "every run fills itself"),
        ("outputs", "every run fills itself"),
    ],
)
def test_a_path_that_no_run_should_write_is_refused(
    platform: Platform, path: str, message: str
) -> None:
    with pytest.raises(Invalid, match=message) as caught:
        platform.promote(inputs=[kept("fine.csv"), kept(path)])
    assert caught.value.field == "inputs.1.path"
    assert caught.value.fix
    assert caught.value.detail.isprintable()
    assert platform.context.data.root.joinpath("blobs").exists() is False


def test_a_file_is_kept_once_and_in_no_other_file(platform: Platform) -> None:
    with pytest.raises(Invalid, match="is there twice"):
        platform.promote(inputs=[kept("a.csv"), kept("a.csv")])
    with pytest.raises(Invalid, match="'a' is a file, so 'a/b' cannot lie in it") as caught:
        platform.promote(inputs=[kept("a/b"), kept("a")])
    assert caught.value.field == "inputs.0.path"


def test_content_that_is_not_base64_is_refused(platform: Platform) -> None:
    for content in ("%%%", "abc", "YQ==\n!", "ä"):
        with pytest.raises(Invalid, match="not Base64") as caught:
            platform.promote(inputs=[InputFile(path="a.csv", content=content)])
        assert caught.value.field == "inputs.0.content"


def test_files_above_the_platforms_limit_are_refused(platform: Platform) -> None:
    platform.context.settings.jobs.inputs_mb = 1
    halves = [kept("a.bin", bytes(2**19)), kept("b.bin", bytes(2**19))]
    assert len(platform.promote(inputs=halves).latest.inputs) == 2
    with pytest.raises(Invalid, match="at most 1 are kept") as caught:
        platform.promote(inputs=[*halves, kept("c.bin")])
    assert caught.value.field == "inputs"


def test_more_files_than_anybody_needs_are_refused() -> None:
    with pytest.raises(ValidationError, match="at most 1000"):
        JobCreate(name="a", notebook=TUTORIAL, inputs=[kept(f"{at}.csv") for at in range(1001)])


def test_a_notebook_with_100_mb_of_outputs_is_kept_without_them(platform: Platform) -> None:
    ran = executed(TUTORIAL)
    for cell in ran["cells"]:
        cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "x" * 50_000_000}]
    job = platform.promote(ran)
    assert len(platform.context.blobs.get(job.latest.notebook_sha256)) < 10_000


def test_a_notebook_of_very_many_cells_is_kept_within_seconds(platform: Platform) -> None:
    cells = [
        code("C: float = 0.5", tags=["parameters"]),
        *(code(f"x = {at}") for at in range(10_000)),
    ]
    began = time.monotonic()
    job = platform.promote(notebook(*cells))
    assert [parameter.name for parameter in job.latest.parameters] == ["C"]
    assert time.monotonic() - began < 30


def test_a_notebook_of_endlessly_many_cells_is_refused_at_once(platform: Platform) -> None:
    began = time.monotonic()
    with pytest.raises(Invalid, match="100,000 cells; at most 20,000"):
        platform.promote(notebook(*(code("x") | {"metadata": 5} for _ in range(100_000))))
    assert time.monotonic() - began < 10


def test_a_misspelt_parameter_is_refused_by_a_schedule_too(platform: Platform) -> None:
    for given, message in (({"c": 1}, "Did you mean 'C'"), ({"C": "x"}, "must be a number")):
        with pytest.raises(Invalid, match=message) as caught:
            platform.promote(schedule=Schedule(cron="0 6 * * *", parameters=given))
        assert caught.value.field == f"schedule.parameters.{next(iter(given))}"


def test_a_version_that_does_not_fit_the_schedule_is_refused(platform: Platform) -> None:
    job = platform.promote(schedule=Schedule(cron="0 6 * * *", parameters={"C": 2}))
    with pytest.raises(Invalid, match="no parameter 'C'"):
        platform.promote(notebook(code("rows = 1", tags=["parameters"])))
    assert platform.jobs.get(ADA, job.id).latest.version == 1

"""A job as a DAG of Airflow: what the file holds, and that Airflow runs it."""

from __future__ import annotations

import ast
import base64
import io
import tarfile
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from perijove.types.jobs import AfterRule, CatchUp, Overlap, Policy, Schedule
from perijove_hub.exceptions import Invalid, NotFound
from perijove_hub.jobs.export.service import export
from perijove_hub.settings import SourceSettings
from perijove_hub.store.models import DatasetRow, SourceRow
from tests.jobs.conftest import ADA, BOB, GRACE, Platform
from tests.jobs.notebooks import code, notebook

CELLS = notebook(
    code(
        "from typing import Literal\nC: float = 0.5  # strength\nday: 'str | None' = None\n"
        "mode: Literal['a', 'b'] = 'a'\nn: int",
        tags=["parameters"],
    ),
    code("print(open('data/x.csv').read(), C, n)"),
)


def written(platform: Platform, job_id: str, **more: Any) -> str:
    given: dict[str, Any] = {"version": None, "image": None, **more}
    return export(platform.context, ADA, job_id, **given)[1]


def test_the_file_holds_schedule_limits_and_parameters(platform: Platform) -> None:
    job = platform.promote(
        CELLS,
        schedule=Schedule(
            cron="30 6 * * 1-5",
            timezone="Europe/Berlin",
            parameters={"n": 3},
            catch_up=CatchUp.all,
        ),
        policy=Policy(retries=2, retry_delay_s=30, concurrency=1),
    )
    text = written(platform, job.id)
    compile(text, "dag.py", "exec")
    assert "CronTriggerTimetable('30 6 * * 1-5', timezone='Europe/Berlin')" in text
    assert "'C': Param(default=0.5, type='number', description='strength')" in text
    assert "'n': Param(default=3, type='integer')" in text
    assert "'mode': Param(default='a', enum=['a', 'b'])" in text
    assert "'day': Param(default=None, type=['null', 'string'])" in text
    for line in ('"retries": 2', "max_active_runs=1", "catchup=True", "perijove://ada/tutorial"):
        assert line in text


def test_the_same_version_makes_the_same_file(platform: Platform) -> None:
    content = base64.b64encode(b"1,2\n").decode()
    job = platform.promote(CELLS, inputs=[{"path": "data/x.csv", "content": content}])
    assert written(platform, job.id) == written(platform, job.id, version=1)


def test_a_job_that_follows_is_scheduled_by_what_the_others_make(platform: Platform) -> None:
    first = platform.promote(name="first")
    after = Schedule(after=[first.id])
    second = platform.promote(name="second", schedule=after)
    assert "schedule=Asset('perijove://ada/first')," in written(platform, second.id)
    text = written(platform, first.id)
    assert "outlets=[Asset('perijove://ada/first')]" in text
    assert "trigger_rule=\"one_failed\", outlets=[Asset('perijove://ada/first/failed')]" in text
    failure, done = AfterRule.any_failure, AfterRule.all_done
    for rule, when in (
        (failure, "Asset('perijove://ada/first/failed') | Asset('perijove://ada/second/failed')"),
        (
            done,
            (
                "(Asset('perijove://ada/first') | Asset('perijove://ada/first/failed')) & "
                "(Asset('perijove://ada/second') | Asset('perijove://ada/second/failed'))"
            ),
        ),
    ):
        following = Schedule(after=[first.id, second.id], rule=rule)
        third = platform.promote(name=f"third-{rule.value}", schedule=following)
        assert f"schedule={when}," in written(platform, third.id)


def test_names_of_jobs_the_reader_may_not_see_are_in_no_file(platform: Platform) -> None:
    first = platform.promote(name="first")
    shared = {"visibility": "group", "group": "research"}
    second = platform.promote(name="second", schedule=Schedule(after=[first.id]), **shared)
    with pytest.raises(Invalid, match="may not see"):
        export(platform.context, BOB, second.id, version=None, image=None)


def test_runs_of_a_schedule_overlap_only_where_they_may(platform: Platform) -> None:
    policy = Policy(concurrency=4, retry_backoff=3, priority=5)
    for overlap, most in ((Overlap.queue, 1), (Overlap.skip, 1), (Overlap.allow, 4)):
        schedule = Schedule(cron="0 6 * * *", overlap=overlap)
        job = platform.promote(name=overlap.value, schedule=schedule, policy=policy)
        text = written(platform, job.id)
        assert f"max_active_runs={most}," in text
        assert ("one of them gives way" in text) == (overlap is Overlap.skip)
    assert '"retry_exponential_backoff": 3.0' in text
    assert '"priority_weight": 6' in text
    by_hand = platform.promote(name="by-hand", policy=policy)
    assert "max_active_runs=4," in written(platform, by_hand.id)


def test_what_airflow_has_nothing_like_is_said_in_the_file(platform: Platform) -> None:
    evil = 's.main.x\n"""\nimport os  # x'
    with platform.context.database.session() as session:
        session.add(SourceRow(name="s", kind="sqlite"))
        session.flush()
        session.add(DatasetRow(name=evil, source="s", schema_name="main", table="x"))
    platform.context.settings.catalog.sources["s"] = SourceSettings(url="sqlite:///x", groups=["*"])
    job = platform.promote(schedule=Schedule(dataset=evil))
    text = written(platform, job.id)
    compile(text, "dag.py", "exec")
    assert "schedule=None," in text
    assert "runs when the dataset s.main.x_____import os _ x has changed" in " ".join(text.split())


def test_no_words_of_a_user_become_code(platform: Platform) -> None:
    evil = '"""\nimport os; os.abort()\n"""'
    cell = code(f'C: str = {evil!r}  # {{{{ 7 * 7 }}}} """', tags=["parameters"])
    job = platform.promote(notebook(cell, code("print(C)")))
    text = written(platform, job.id, image="registry.example.org/cpu@sha256:" + "0" * 64)
    compile(text, "dag.py", "exec")
    assert "\nimport os; os.abort()" not in text
    assert "{{ 7 * 7 }}" in text


def test_what_may_not_be_kept_is_left_out_and_the_rest_is(
    platform: Platform, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = ast.parse(written(platform, platform.promote().id))
    # Airflow is not here; this part of the file needs none of it.
    tree.body = [one for one in tree.body if getattr(one, "name", "") == "_keep_artifacts"]
    named: dict[str, Any] = {"tarfile": tarfile, "tempfile": tempfile, "FOLDER": "/tmp/job"}
    exec(compile(tree, "dag.py", "exec"), named | {"Path": Path}, found := {})
    left = io.BytesIO()
    with tarfile.open(fileobj=left, mode="w") as tar:
        for name, kind, link in (
            ("outputs", tarfile.DIRTYPE, ""),
            ("outputs/latest", tarfile.SYMTYPE, "/etc"),
            ("outputs/up", tarfile.SYMTYPE, "../../.."),
            ("outputs/pipe", tarfile.FIFOTYPE, ""),
            ("outputs/kept.csv", tarfile.REGTYPE, ""),
            ("outputs/newest.csv", tarfile.SYMTYPE, "kept.csv"),
        ):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, link
            tar.addfile(entry)
    container = SimpleNamespace(get_archive=lambda path: ([left.getvalue()], {}))
    found["_keep_artifacts"](container, tmp_path)
    kept = sorted(one.name for one in (tmp_path / "outputs").iterdir())
    assert kept == ["kept.csv", "newest.csv"]
    assert capsys.readouterr().out.count("Not kept: ") == 3


def test_only_who_sees_a_job_exports_it(platform: Platform) -> None:
    job = platform.promote()
    for other in (BOB, GRACE):
        with pytest.raises(NotFound):
            export(platform.context, other, job.id, version=None, image=None)
    with pytest.raises(NotFound, match="no version 7"):
        written(platform, job.id, version=7)

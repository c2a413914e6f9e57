"""Changing, watching and repeating jobs: command line, magics and Python alike."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from IPython.core.interactiveshell import InteractiveShell

from perijove import following, jobs
from perijove.exceptions import ApiError, PerijoveError
from perijove.magics.jobs import JobMagics, _folder
from perijove.types.jobs import CatchUp, Follow, Overlap, RunState
from perijove_hub.cli.main import cli
from tests.fixtures.api import Api
from tests.jobs.notebooks import code, notebook

Perijove = Callable[..., str]


@pytest.fixture
def perijove() -> Perijove:
    """Run ``perijove …`` and return what it printed."""

    def run(*arguments: str, status: int = 0, given: str | None = None) -> str:
        result = CliRunner().invoke(cli, arguments, input=given)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == status, result.output
        return result.stdout

    return run


def test_a_schedule_is_set_changed_paused_and_taken_away(ada: Api, perijove: Perijove) -> None:
    perijove(
        "jobs", "create", "Tutorial.ipynb", "--every", "6h", "--param", "C=2", "--retries", "2"
    )
    job = jobs.show("tutorial")
    assert job.schedule is not None
    assert (job.schedule.every_s, job.schedule.parameters) == (21_600, {"C": 2.0})
    assert job.policy.retries == 2
    edited = perijove(
        "jobs", "edit", "tutorial", "--schedule", "0 6 * * 1-5", "--timezone", "Europe/Berlin",
        "--catch-up", "all", "--catch-up-window", "2d", "--overlap", "skip",
        "--timeout-s", "2h", "--cell-timeout-s", "10m", "--concurrency", "3",
    )  # fmt: skip
    assert "schedule: 0 6 * * 1-5 Europe/Berlin" in edited
    assert "each run with: C=2.0" in edited
    assert "limits: 2h a run, 10m a cell" in edited
    assert "seen by" not in edited
    shared = perijove("jobs", "edit", "tutorial", "--visibility", "group", "--group", "research")
    assert "seen by: the group research" in shared
    job = jobs.show("tutorial")
    assert job.schedule is not None
    assert job.schedule.every_s is None
    assert job.schedule.catch_up is CatchUp.all
    assert job.schedule.overlap is Overlap.skip
    assert job.schedule.parameters == {"C": 2.0}
    assert (job.policy.retries, job.policy.concurrency) == (2, 3)
    assert "paused" in perijove("jobs", "pause", "tutorial")
    assert "paused" in perijove("jobs", "list")
    assert json.loads(perijove("jobs", "resume", "tutorial", "--json"))["schedule"]["next_slot"]
    perijove("jobs", "edit", "tutorial", "--concurrency", "none", "--unschedule")
    job = jobs.show("tutorial")
    assert (job.schedule, job.policy.concurrency, job.policy.retries) == (None, None, 2)
    with pytest.raises(PerijoveError, match="'tutorial' has no schedule"):
        perijove("jobs", "pause", "tutorial")
    with pytest.raises(PerijoveError, match="There is nothing to change"):
        perijove("jobs", "edit", "tutorial")
    # The next version leaves its policy as it is, but for what it names.
    perijove("jobs", "create", "Tutorial.ipynb", "--retry-delay", "5m")
    assert jobs.show("tutorial").policy.model_dump(include={"retries", "retry_delay_s"}) == {
        "retries": 2,
        "retry_delay_s": 300,
    }


def test_one_job_runs_after_others_by_their_names(ada: Api, perijove: Perijove) -> None:
    jobs.create(
        notebook(
            code("import pathlib\npathlib.Path('outputs').mkdir(exist_ok=True)"),
            code("pathlib.Path('outputs/rows.txt').write_text('of load')"),
        ),
        "load",
    )
    jobs.create("Tutorial.ipynb", "clean")
    jobs.create(notebook(code("print(open('inputs/load/rows.txt').read())")), "report")
    perijove("jobs", "edit", "report", "--after", "load")
    loaded = jobs.run("load")
    deadline = time.monotonic() + 60
    while not (found := jobs.runs("report")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    followed = jobs.wait(found[0].id)
    assert (followed.trigger, followed.upstream) == ("after", {"load": loaded.id})
    assert "of load" in "".join(jobs.logs("report"))
    shown = perijove("jobs", "edit", "report", "--after", "load,clean", "--rule", "all_done")
    assert "schedule: after clean, load (all_done)" in shown
    assert "after clean, load (all_done)" in perijove("jobs", "list")
    assert [one.name for one in jobs.list(sort="-name")] == ["report", "load", "clean"]
    with pytest.raises(ApiError, match="sort"):
        perijove("jobs", "list", "--sort", "size")
    with pytest.raises(PerijoveError, match="There is no job 'laod'"):
        perijove("jobs", "edit", "report", "--after", "laod")
    with pytest.raises(ApiError, match="report"):
        jobs.edit("load", after="report")


def test_what_a_schedule_would_do_is_seen_before(ada: Api, perijove: Perijove) -> None:
    shown = perijove("jobs", "preview", "--schedule", "30 2 * * *", "--timezone", "Europe/Berlin")
    assert len(re.findall(r"02:30", shown)) >= 8
    slots = json.loads(perijove("jobs", "preview", "--every", "15m", "--json"))["slots"]
    assert len(slots) == 10
    with pytest.raises(ApiError, match="Did you mean Europe/Berlin"):
        perijove("jobs", "preview", "--schedule", "30 2 * * *", "--timezone", "Europe/Berln")
    with pytest.raises(PerijoveError, match="nothing to preview"):
        jobs.preview()


#: What is typed after ``%job`` and ``perijove jobs``, and what is said of it.
MISTAKES = [
    ("edit tutorial --every 6y", "--every must be a duration such as 90s, 15m, 6h or 2d"),
    ("edit tutorial --overlap both", "--overlap must be skip, queue, allow or cancel"),
    ("edit tutorial --every 6h --after x", "--every and --after exclude each other"),
    ("edit tutorial --retries many", "--retries must be a whole number, not 'many'."),
    ("run tutorial --param C", "'C' is not NAME=VALUE."),
    ("backfill tutorial --start 2026-01-01", "--start and --end go together"),
    ("backfill tutorial --values C=1 --range C=0:9", "one of --start with --end, --values and"),
    ("backfill tutorial --range C=0", "--range must be NAME=START:STOP"),
    ("sweep tutorial --metric auc", "A sweep needs a space and a metric"),
    ("sweep tutorial --space C=int(1) --metric auc", "--space C must be int(LOW,HIGH[,STEP])"),
    ("sweep tutorial --space C=1,two --metric auc", "Parameter 'C' must be a number"),
]


def test_magic_and_command_line_say_the_same_of_a_mistake(
    ada: Api, shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs.create("Tutorial.ipynb")
    for line, message in MISTAKES:
        with pytest.raises(PerijoveError, match=re.escape(message)):
            shell.run_line_magic("job", line)
        result = CliRunner().invoke(cli, ["jobs", *line.split()])
        assert result.exit_code
        assert message in result.output + str(result.exception)


def test_unknown_flags_and_verbs_name_the_nearest(ada: Api, shell: InteractiveShell) -> None:
    with pytest.raises(PerijoveError, match="Did you mean --overlap"):
        shell.run_line_magic("job", "edit tutorial --overlp skip")
    with pytest.raises(PerijoveError, match="Did you mean %job cancel"):
        shell.run_line_magic("job", "cancle tutorial")
    result = CliRunner().invoke(cli, ["jobs", "edit", "tutorial", "--overlp", "skip"])
    assert "Did you mean" in result.output or "--overlap" in result.output


def test_magics_edit_pause_and_preview(
    ada: Api, shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    magics = JobMagics(shell)
    magics.promote("--path Tutorial.ipynb --schedule '0 6 * * *' --param C=2 --follow approved")
    kept = jobs.show("tutorial").schedule
    assert kept is not None
    assert (kept.parameters, kept.version) == ({"C": 2.0}, Follow.approved)
    edited = magics.job("edit tutorial --every 90s --keep-days 30 --param C=3")
    assert "every 90s" in repr(edited)
    assert "outputs kept 30 days" in edited._repr_html_()
    magics.job("pause tutorial")
    magics.job("resume tutorial")
    out = capsys.readouterr().out
    assert "tutorial is paused: %job resume tutorial" in out
    assert "tutorial goes on, next at" in out
    assert len(magics.job("preview --schedule '0 6 * * *'")) == 10
    magics.job("delete tutorial")
    assert jobs.list() == []


def test_files_are_kept_with_the_notebook(
    ada: Api, perijove: Perijove, shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = notebook(code("print(open('data/rows.csv').read())"))
    Path("deep/data").mkdir(parents=True)
    Path("deep/data/rows.csv").write_text("a,b\n")
    Path("deep/more.txt").write_text("more")
    Path("deep/Reads.ipynb").write_text(json.dumps(content))
    made = perijove("jobs", "create", "deep/Reads.ipynb")
    assert made == "reads is a job, version 1, with data/rows.csv.\n"
    made = perijove("jobs", "create", "deep/Reads.ipynb", "--input", "deep/*.txt")
    assert "version 2, with data/rows.csv, more.txt." in made
    run = jobs.run("reads")
    assert run.state is RunState.succeeded, run.reason
    assert "a,b" in "".join(jobs.logs("reads"))
    made = perijove("jobs", "create", "deep/Reads.ipynb", "--inputs", "none")
    assert "version 3." in made
    with pytest.raises(PerijoveError, match="is no file, folder or pattern"):
        perijove("jobs", "create", "deep/Reads.ipynb", "--input", "nothing.csv")
    with pytest.raises(PerijoveError, match="not below the notebook's folder"):
        perijove("jobs", "create", "deep/Reads.ipynb", "--input", "Tutorial.ipynb")
    # In a notebook its folder is what the server knows, or else where the kernel began.
    path = Path("deep/Reads.ipynb")
    path.write_text(json.dumps(content | {"cells": [*content["cells"], code("%promote here")]}))
    monkeypatch.setenv("JPY_SESSION_NAME", str(path.absolute()))
    shell.run_cell("%promote here", store_history=True).raise_error()
    assert [one.path for one in jobs.show("here").latest.inputs] == ["data/rows.csv"]
    monkeypatch.setenv("HOME", str(Path.cwd()))
    assert _folder("RTC:deep/Reads.ipynb") == Path("deep").absolute()
    monkeypatch.delenv("JPY_SESSION_NAME")
    assert _folder("gone.ipynb") == Path.cwd()


def test_versions_are_listed_compared_and_approved(
    ada: Api, perijove: Perijove, shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs.create(notebook(code("C: float = 0.5", tags=["parameters"]), code("print(1)")), "j")
    jobs.create(notebook(code("C: float = 0.7", tags=["parameters"]), code("print(2)")), "j")
    assert [one["version"] for one in json.loads(perijove("jobs", "versions", "j", "--json"))] == [
        2, 1,
    ]  # fmt: skip
    shown = perijove("jobs", "diff", "j", "1", "2")
    assert "-print(1)" in shown
    assert "+ C: float = 0.7" in shown
    perijove("jobs", "approve", "j", "1")
    assert "ada" in perijove("jobs", "versions", "j")
    magics = JobMagics(shell)
    assert "<span" in magics.job("diff j 1 2")._repr_html_()
    assert "They run the same" in repr(magics.job("diff j 1 1"))
    magics.job("approve j 1 --withdraw")
    assert jobs.versions("j")[-1].approved_by is None
    with pytest.raises(PerijoveError, match="A version is a number, not 'two'"):
        magics.job("approve j two")
    with pytest.raises(ApiError, match="no version 9"):
        perijove("jobs", "diff", "j", "1", "9")


def test_runs_are_done_again_compared_and_leave_files(
    ada: Api, perijove: Perijove, shell: InteractiveShell, tmp_path: Path
) -> None:
    content = notebook(
        code("C: float = 0.5", tags=["parameters"]),
        code(
            "import pathlib\npathlib.Path('outputs/sub').mkdir(parents=True, exist_ok=True)\n"
            "pathlib.Path('outputs/sub/c.txt').write_text(str(C))\nprint('C =', C)"
        ),
    )
    jobs.create(content, "files")
    first = jobs.run("files", C=1)
    assert first.state is RunState.succeeded, first.reason
    perijove("jobs", "rerun", "files", "--run", first.id, "--param", "C=4")
    second = jobs.runs("files")[0]
    assert (second.parameters, second.rerun_of) == ({"C": 4.0}, first.id)
    assert "sub/c.txt" in perijove("jobs", "artifacts", "files")
    perijove("jobs", "artifacts", "files", "--run", first.id, "--download", "there")
    assert Path("there/sub/c.txt").read_text() == "1.0"
    with pytest.raises(PerijoveError, match="is there already"):
        perijove("jobs", "artifacts", "files", "--download", "there")
    perijove("jobs", "artifacts", "files", "--notebook", "out.ipynb")
    assert "C = 4.0" in Path("out.ipynb").read_text()
    with pytest.raises(PerijoveError, match="is there already"):
        shell.run_line_magic("job", "artifacts files --notebook out.ipynb")
    shown = perijove("jobs", "compare", first.id, second.id)
    assert "- C: 1.0" in shown
    assert "C = 4.0" in shown
    magics = JobMagics(shell)
    assert "C = 4.0" in magics.job(f"compare {first.id} {second.id}")._repr_html_()
    assert len(magics.job("runs files")) == 2
    again = magics.job("rerun files --no-wait")
    assert again.run.parameters == {"C": 4.0}
    assert "".join(jobs.logs("files", follow=True)).count("C = 4.0") == 1


def test_a_try_that_failed_is_looked_at_after_the_next_one_went_well(
    ada: Api, perijove: Perijove, shell: InteractiveShell, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    source = (
        f"import pathlib\nprint('try', 1 + (seen := pathlib.Path({str(again)!r}).exists()))\n"
        f"pathlib.Path({str(again)!r}).touch()\nassert seen, 'not yet'"
    )
    jobs.create(notebook(code("1"), code(source)), "flaky", retries=1, retry_delay=0)
    run = jobs.run("flaky")
    assert (run.state, run.attempt) == (RunState.succeeded, 2), run.reason
    why = "Cell 2, line 4 raised AssertionError: not yet"
    assert f"try 1: failed: {why}" in perijove("jobs", "show", "flaky", "--run", run.id)
    for line in (["flaky", "--attempt", "1"], ["flaky", "--run", run.id, "--attempt", "1"]):
        shown = perijove("jobs", "show", *line)
        assert "try 1 of 2 (failed)" in shown and why in shown
        assert ">    4 assert seen" in shown and "Traceback" in shown
        assert "try 1\n" in perijove("jobs", "logs", *line)
    assert "try 2\n" in perijove("jobs", "logs", "flaky")
    told = json.loads(perijove("jobs", "show", "flaky", "--attempt", "1", "--json"))
    assert (told["state"], told["failed_cell"], told["has_output"]) == ("failed", 1, True)
    magics = JobMagics(shell)
    assert repr(magics.job("show flaky --attempt 1")) + "\n" == perijove(
        "jobs", "show", "flaky", "--attempt", "1"
    )
    with pytest.raises(PerijoveError, match="The run has no attempt 3"):
        perijove("jobs", "show", "flaky", "--attempt", "3")
    with pytest.raises(PerijoveError, match="The run has no attempt 3"):
        magics.job("logs flaky --attempt 3")
    with ada.client("ada") as client:
        first, second = (
            client.get(f"/runs/{run.id}/cells", params={"attempt": attempt}).json()["cells"]
            for attempt in (1, 2)
        )
    assert [len(first), len(second)] == [2, 2]
    assert first[1]["ended_at"] <= second[0]["started_at"]


def test_names_of_a_runs_files_stay_in_the_folder(tmp_path: Path) -> None:
    from perijove.jobs.watching import _place, _save

    for name in ("../evil", "/etc/evil", "a/../../evil", "a\x1b[2J", ""):
        with pytest.raises(PerijoveError, match="not safe"):
            _place(tmp_path, name)
    (tmp_path / "out").symlink_to("/tmp")
    with pytest.raises(PerijoveError, match="a link that leads out"):
        _save(tmp_path, _place(tmp_path, "out/evil-of-perijove"), b"x")
    assert not Path("/tmp/evil-of-perijove").exists()


def test_secrets_are_set_without_being_shown(
    ada: Api, perijove: Perijove, shell: InteractiveShell
) -> None:
    assert "No secrets yet" in perijove("secrets", "list")
    shown = perijove("secrets", "set", "API_TOKEN", given="very-secret-value\n")
    shown += perijove("secrets", "list") + perijove("secrets", "list", "--json")
    assert "API_TOKEN" in shown
    assert "very-secret-value" not in shown
    assert "API_TOKEN" in repr(shell.run_line_magic("secrets", ""))
    with pytest.raises(PerijoveError, match="a notebook keeps what is typed into it"):
        shell.run_line_magic("secrets", "set API_TOKEN x")
    content = notebook(
        code("from perijove import Secret\ntoken: Secret = 'API_TOKEN'", tags=["parameters"]),
        code("print(len(token), token)"),
    )
    jobs.create(content, "secretive")
    run = jobs.run("secretive")
    assert run.state is RunState.succeeded, run.reason
    log = "".join(jobs.logs("secretive"))
    assert "17" in log
    assert "very-secret-value" not in log
    perijove("secrets", "delete", "API_TOKEN")
    assert "No secrets yet" in perijove("secrets", "list")


def test_a_backfill_is_tried_made_shown_and_cancelled(
    ada: Api, perijove: Perijove, shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    content = notebook(
        code("from datetime import date\nday: date = date(2026, 1, 1)", tags=["parameters"]),
        code("print('day', day)"),
    )
    jobs.create(content, "daily")
    line = ["--start", "2026-01-01", "--end", "2026-01-03", "--every", "day"]
    line += ["--timezone", "Asia/Tokyo"]
    shown = perijove("jobs", "backfill", "daily", *line, "--dry-run")
    assert "slot (Asia/Tokyo)" in shown and "2026-01-02 00:00" in shown
    assert "Every run has the same parameters" in shown
    line += ["--bind", "day=date"]
    assert jobs.backfills("daily") == []
    plan = json.loads(perijove("jobs", "backfill", "daily", *line, "--dry-run", "--json"))["plan"]
    assert [one["parameters"] for one in plan] == [
        {"day": f"2026-01-0{number}"} for number in (1, 2)
    ]
    shown = perijove("jobs", "backfill", "daily", *line)
    assert "2 of 2 done (2 succeeded)" in shown
    found = jobs.backfills("daily")[0]
    assert found.id is not None
    magics = JobMagics(shell)
    again = magics.job(f"backfill daily {' '.join(line)}")
    assert again.backfill.counts == {"skipped": 2}
    assert "2026-01-02" in again._repr_html_()
    assert "[ended] daily: backfill" in capsys.readouterr().out
    assert len(magics.job("backfills daily")) == 2
    assert "succeeded" in repr(magics.job(f"show daily --backfill {found.id}"))
    slow = notebook(code("n: int = 1", tags=["parameters"]), code("import time; time.sleep(600)"))
    jobs.create(slow, "slow")
    made = magics.job("backfill slow --range n=1:5 --no-wait").backfill
    assert made.total == 4
    magics.job(f"cancel slow --backfill {made.id}")
    assert jobs.wait_backfill(made.id).state == "cancelled"


def test_a_sweep_finds_the_best_and_shows_a_table(
    ada: Api, perijove: Perijove, shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    content = notebook(
        code("C: float = 0.5\nkind: str = 'a'", tags=["parameters"]),
        code("%load_ext perijove"),
        # The best value there is belongs to a trial that fails.
        code("%metric score={9 if C == 3 else 1 - (C - 2) ** 2}\nassert C < 3"),
    )
    jobs.create(content, "search")
    space = ["--space", "C=1,2,3", "--space", "kind=a", "--metric", "score", "--goal", "max"]
    shown = perijove("jobs", "sweep", "search", *space, "--concurrency", "3")
    assert "3 of 3 done, best score 1 with C=2.0" in shown
    found = jobs.sweeps("search")[0]
    assert (found.state, found.trials) == ("ended", 3)
    magics = JobMagics(shell)
    table = magics.job(f"show search --sweep {found.id}")
    assert repr(table).splitlines()[1].split()[1] == "2.0"
    assert "<th" in table._repr_html_()
    assert len(magics.job("sweeps search")) == 1
    drawn = "--space C=uniform(0, 4) --metric score --method random --trials 2 --no-wait"
    made = magics.job(f"sweep search {drawn}").sweep
    assert made.space["C"].high == 4
    perijove("jobs", "cancel", "search", "--sweep", made.id)
    assert jobs.wait_sweep(made.id).state in ("cancelled", "ended")


def test_an_interrupt_ends_the_looking_and_not_the_work(
    ada: Api,
    shell: InteractiveShell,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    jobs.create("Tutorial.ipynb")
    magics = JobMagics(shell)
    with monkeypatch.context() as patch:
        patch.setattr(following, "sleep", interrupt)
        run = magics.job("run tutorial --param C=2").run
        backfill = magics.job("backfill tutorial --values C=3").backfill
        sweep = magics.job("sweep tutorial --space C=4 --metric score").sweep
        result = CliRunner().invoke(cli, ["jobs", "rerun", "tutorial", "--run", run.id])
    assert result.exit_code == 130
    assert "The run goes on: perijove jobs show tutorial --run" in result.stderr
    out = capsys.readouterr().out
    assert f"tutorial: run {run.id} goes on; %job show tutorial" in out
    assert (
        f"tutorial: backfill {backfill.id} goes on; %job show tutorial --backfill {backfill.id}"
        in out
    )
    assert f"tutorial: sweep {sweep.id} goes on; %job show tutorial --sweep {sweep.id}" in out
    assert jobs.wait(run.id).state is RunState.succeeded
    assert jobs.wait_backfill(backfill.id).counts == {"succeeded": 1}
    # A run that never logs the metric counts as failed.
    assert jobs.wait_sweep(sweep.id).counts == {"no_metric": 1}

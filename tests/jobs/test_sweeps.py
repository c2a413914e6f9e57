"""Sweeps: which parameters they try, which trial is best, and that each runs exactly once."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from perijove.types.base import Principal
from perijove.types.jobs import Job
from perijove.types.sweeps import (
    Dimension,
    Goal,
    Kind,
    Method,
    Sweep,
    SweepCreate,
    SweepState,
    SweepTrial,
    TrialState,
)
from perijove_hub.context import Context
from perijove_hub.exceptions import Invalid, NotFound, Refused
from perijove_hub.jobs.sweeps.duty import SweepDuty
from perijove_hub.jobs.sweeps.propose import Trial, propose
from perijove_hub.jobs.sweeps.service import SweepService
from perijove_hub.store.models import RunRow, SweepRow, TrialRow, utcnow
from tests.jobs.conftest import ADA, BOB, GRACE, Platform
from tests.jobs.mortal_workers import on, two_workers
from tests.jobs.notebooks import code, notebook

FIT = notebook(
    code(
        "C: float = 0.5\n"
        "depth: int = 3\n"
        "kind: Literal['l1', 'l2'] = 'l1'\n"
        "layers: list = [1]\n"
        "name: str = ''",
        tags=["parameters"],
    ),
    code("%%experiment 'fits' --param C=$C\npass"),
)
LISTS: dict[str, Any] = {
    "C": Dimension(values=[0.1, 1, 10]),
    "kind": Dimension(values=["l1", "l2"]),
}


def service(platform: Platform) -> SweepService:
    return SweepService(platform.context)


def ask(
    platform: Platform, job: Job, *, by: Principal = ADA, key: str | None = None, **asked: Any
) -> Sweep:
    body = SweepCreate(**{"metric": "loss", "space": LISTS, **asked})
    return service(platform).create(by, job.id, body, key=key)


def get(platform: Platform, sweep: Sweep) -> Sweep:
    return service(platform).get(ADA, sweep.id)


def trials(platform: Platform, sweep: Sweep) -> list[SweepTrial]:
    return service(platform).trials(ADA, sweep.id, cursor=None, limit=500).items


def end(context: Context, value: Any = None, *, only: int | None = None) -> int:
    """End queued runs as an executor would.

    ``value`` gives the metric of a run's parameters, or the state in which it ends.
    """
    with context.database.session() as session:
        rows = select(RunRow).where(RunRow.state == "queued").order_by(RunRow.key)
        found = session.scalars(rows.limit(only)).all()
        for row in found:
            loss = value(row.parameters) if callable(value) else value
            row.ended_at = utcnow()
            row.state = loss if isinstance(loss, str) else "succeeded"
            row.metrics = {"loss": loss} if isinstance(loss, int | float) else {"other": 1.0}
        return len(found)


def count(context: Context) -> int:
    with context.database.reading() as session:
        return session.scalar(select(func.count()).select_from(RunRow)) or 0


@pytest.fixture
def job(platform: Platform) -> Job:
    return platform.promote(FIT)


def test_a_grid_tries_every_combination_a_few_at_once(platform: Platform, job: Job) -> None:
    sweep = ask(platform, job, concurrency=4, parameters={"depth": 7})
    assert (sweep.trials, sweep.state) == (6, SweepState.running)
    duty = SweepDuty(platform.context)
    duty.tick()
    duty.tick()
    assert count(platform.context) == 4
    end(platform.context, lambda given: given["C"] + (0.5 if given["kind"] == "l1" else 0))
    duty.tick()
    assert count(platform.context) == 6
    told = get(platform, sweep)
    assert told.counts == {TrialState.queued: 2, TrialState.succeeded: 4}
    end(platform.context, lambda given: given["C"])
    duty.tick()
    told = get(platform, sweep)
    assert told.state is SweepState.ended
    assert [tuple(one.parameters.values()) for one in trials(platform, sweep)] == [
        (c, kind) for c in (0.1, 1, 10) for kind in ("l1", "l2")
    ]
    assert told.best is not None
    assert (told.best.parameters, told.best.value) == ({"C": 0.1, "kind": "l2"}, 0.1)
    with platform.context.database.reading() as session:
        run = session.get_one(RunRow, told.best.run_id)
        assert (run.trigger, run.priority, run.key) == ("sweep", -10, f"sweep:{sweep.id}:1")
        assert run.parameters == {"depth": 7, "C": 0.1, "kind": "l2"}
        values = session.scalars(select(RunRow.parameters)).all()
    assert {type(one["C"]) for one in values} == {float}, "as a run by hand would have it"


def test_the_goal_says_which_is_best(platform: Platform, job: Job) -> None:
    sweep = ask(platform, job, goal=Goal.max, concurrency=6)
    SweepDuty(platform.context).tick()
    end(platform.context, lambda given: float(given["C"]))
    best = get(platform, sweep).best
    assert best is not None
    assert (best.value, best.number) == (10.0, 4), "the first of two"


def test_a_run_without_the_metric_is_a_failed_trial_and_that_is_said(
    platform: Platform, job: Job
) -> None:
    sweep = ask(platform, job, concurrency=6)
    SweepDuty(platform.context).tick()
    end(platform.context, 2.0, only=1)
    end(platform.context)
    told = get(platform, sweep)
    assert told.counts == {TrialState.succeeded: 1, TrialState.no_metric: 5}
    last = trials(platform, sweep)[-1]
    assert last.state is TrialState.no_metric
    assert last.reason is not None
    assert "'loss'" in last.reason
    assert "other" in last.reason
    assert told.best is not None
    assert told.best.number == 0


def test_it_stops_when_enough_have_failed(platform: Platform, job: Job) -> None:
    sweep = ask(platform, job, max_failures=3)
    duty = SweepDuty(platform.context)
    for value in ("failed", None):
        duty.tick()
        assert end(platform.context, value) == 2
    duty.tick()
    told = get(platform, sweep)
    assert told.state is SweepState.stopped
    assert "4 trials failed" in (told.reason or "")
    assert count(platform.context) == 4
    assert told.best is None


def test_trials_that_a_person_cancelled_are_no_failures(platform: Platform, job: Job) -> None:
    sweep = ask(platform, job, max_failures=1)
    duty = SweepDuty(platform.context)
    for _ in range(3):
        duty.tick()
        end(platform.context, "cancelled")
    duty.tick()
    assert get(platform, sweep).counts == {TrialState.cancelled: 6}
    assert get(platform, sweep).state is SweepState.ended


RANDOM: dict[str, Any] = {
    "C": Dimension(kind=Kind.loguniform, low=1e-4, high=1e4),
    "depth": Dimension(kind=Kind.int, low=2, high=11, step=3),
    "kind": Dimension(values=["l1", "l2"]),
    "layers": Dimension(values=[[1], [2, 2]]),
}


@pytest.mark.parametrize("method", [Method.random, Method.optuna])
def test_the_same_seed_draws_the_same_within_the_bounds(method: Method) -> None:
    asked = SweepCreate(method=method, space=RANDOM, metric="loss", trials=30, seed=7)
    other = asked.model_copy(update={"seed": 8})

    def drawn(asked: SweepCreate) -> list[dict[str, Any]]:
        known: list[Trial] = []
        for _ in range(14):
            one = propose(asked, known)
            known.append(Trial(one, under_way=False, value=one["C"] * one["depth"]))
        return [one.parameters for one in known]

    found = drawn(asked)
    assert found == drawn(asked)
    assert found != drawn(other)
    assert all(1e-4 <= one["C"] <= 1e4 for one in found)
    assert {one["depth"] for one in found} <= {2, 5, 8, 11}
    assert {type(one["depth"]) for one in found} == {int}
    assert {str(one["layers"]) for one in found} == {"[1]", "[2, 2]"}
    assert len({one["C"] for one in found}) == 14


def test_optuna_learns_from_earlier_trials() -> None:
    space = {"x": Dimension(kind=Kind.uniform, low=-10, high=10)}
    away = {Method.random: 0.0, Method.optuna: 0.0}
    for method, seed in itertools.product(away, range(3)):
        asked = SweepCreate(method=method, space=space, metric="loss", trials=40, seed=seed)
        known: list[Trial] = []
        for number in range(40):
            x = propose(asked, known)["x"]
            failed = number % 7 == 3
            known.append(Trial({"x": x}, under_way=False, value=None if failed else (x - 3) ** 2))
        away[method] += sum(abs(one.parameters["x"] - 3) for one in known[20:])
    assert away[Method.optuna] < 0.7 * away[Method.random]


def test_optuna_takes_trials_under_way_into_account() -> None:
    asked = SweepCreate(
        method=Method.optuna,
        space={"x": Dimension(kind=Kind.uniform, low=0, high=1)},
        metric="loss",
        trials=40,
    )
    known = [Trial({"x": at / 12}, under_way=False, value=(at / 12 - 0.5) ** 2) for at in range(12)]
    known += [Trial({"x": 0.5}, under_way=True, value=None)]
    found = [propose(asked, known)]
    known.append(Trial(found[0], under_way=True, value=None))
    assert propose(asked, known) != found[0]


def test_an_optuna_sweep_goes_its_way(platform: Platform, job: Job) -> None:
    sweep = ask(platform, job, method=Method.optuna, space=RANDOM, trials=14, concurrency=3)
    duty = SweepDuty(platform.context)
    while get(platform, sweep).state is SweepState.running:
        # What a restarted worker finds is all it needs.
        duty = SweepDuty(platform.context)
        duty.tick()
        end(platform.context, lambda given: abs(given["C"] - 1))
    assert get(platform, sweep).counts == {TrialState.succeeded: 14}
    assert [one.number for one in trials(platform, sweep)] == list(range(14))


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"space": {"c": Dimension(values=[1])}}, "space.c", "Did you mean 'C'"),
    ({"space": {"C": Dimension()}}, "space.C.values", "no values"),
    ({"space": {"C": Dimension(values=["x"])}}, "space.C.values", "must be a number"),
    ({"space": {"depth": Dimension(values=[1.5])}}, "space.depth.values", "whole number"),
    ({"space": {"kind": Dimension(values=["l3"])}}, "space.kind.values", "one of"),
    ({"space": {"C": Dimension(values=[1], low=0, high=1)}}, "space.C.kind", "values"),
    ({"space": {"C": RANDOM["C"]}}, "space.C.kind", "lists of values"),
    (
        {
            "space": {
                "depth": Dimension(values=list(range(100))),
                "C": Dimension(values=[float(n) for n in range(100)]),
            }
        },
        "space",
        "10,000 combinations",
    ),
    ({"parameters": {"C": 1}}, "parameters.C", "searched"),
    ({"parameters": {"depth": "x"}}, "parameters.depth", "whole number"),
    ({"method": Method.random}, "trials", "How many"),
    *[
        ({"method": Method.random, "trials": 3, "space": {name: dimension}}, field, words)
        for name, dimension, field, words in (
            ("C", Dimension(kind=Kind.uniform, low=0), "space.C.high", "'high' is None"),
            ("C", Dimension(kind=Kind.uniform, low=1, high=1), "space.C.low", "not below"),
            ("C", Dimension(kind=Kind.uniform, low=-1e308, high=1e308), "space.C.high", "smaller"),
            ("C", Dimension(kind=Kind.loguniform, low=0, high=1), "space.C.low", "logarithm"),
            ("C", Dimension(kind=Kind.uniform, low="nan", high=1), "space.C.low", "nan"),
            ("depth", Dimension(kind=Kind.uniform, low=0, high=1), "space.depth.kind", "int"),
            ("depth", Dimension(kind=Kind.int, low=0.5, high=1), "space.depth.low", "whole"),
            ("name", Dimension(kind=Kind.int, low=0, high=1), "space.name.kind", "is a str"),
            ("C", RANDOM["C"].model_copy(update={"values": [1]}), "space.C.values", "choice"),
        )
    ],
]


def test_what_is_wrong_is_refused_before_anything_starts(platform: Platform, job: Job) -> None:
    for asked, field, words in WRONG:
        with pytest.raises(Invalid) as told:
            ask(platform, job, **asked)
        assert told.value.field == field, asked
        assert words in f"{told.value.detail} {told.value.fix}", asked
    assert service(platform).list(ADA, job.id, cursor=None, limit=5).items == []


def test_cancelling_it_ends_its_runs_and_begins_no_more(platform: Platform, job: Job) -> None:
    sweep = ask(platform, job)
    duty = SweepDuty(platform.context)
    duty.tick()
    told = service(platform).cancel(ADA, sweep.id)
    assert (told.state, told.counts) == (SweepState.cancelled, {TrialState.cancelled: 2})
    duty.tick()
    assert count(platform.context) == 2


def test_deleting_the_job_ends_it(platform: Platform, job: Job) -> None:
    ask(platform, job)
    duty = SweepDuty(platform.context)
    duty.tick()
    platform.jobs.delete(ADA, job.id)
    duty.tick()
    with platform.context.database.reading() as session:
        assert session.scalars(select(SweepRow.state)).all() == ["cancelled"]
        assert set(session.scalars(select(RunRow.state))) == {"cancelled"}
    assert count(platform.context) == 2


def test_only_who_may_run_the_job_may_sweep_it(platform: Platform) -> None:
    job = platform.promote(FIT, visibility="group", group="research")
    with pytest.raises(Refused):
        ask(platform, job, by=BOB)
    sweep = ask(platform, job, key="k")
    assert ask(platform, job, key="k").id == sweep.id
    assert service(platform).get(BOB, sweep.id).trials == 6
    with pytest.raises(Refused):
        service(platform).cancel(BOB, sweep.id)
    for action in (service(platform).get, service(platform).cancel):
        with pytest.raises(NotFound, match="sweep"):
            action(GRACE, sweep.id)


NAN = notebook(
    code("C: float = 0.5", tags=["parameters"]),
    code("%load_ext perijove\n%metric loss=0.1\nloss = C * float('nan')"),
    code("%metric loss={loss}\nimport os; print('IN', os.environ['MLFLOW_EXPERIMENT_NAME'])"),
    code("import mlflow\nmlflow.set_experiment('plain ones')", tags=["skip-execution"]),
)


def test_a_run_whose_metric_ends_as_no_number_is_never_the_best(platform: Platform) -> None:
    sweep = ask(platform, platform.promote(NAN), space={"C": Dimension(values=[3])})
    with platform.context.database.session() as session:
        row = session.get_one(SweepRow, sweep.id)
        # As if MLflow had answered.
        row.tracking_run_id, row.tracking_open = "0" * 32, False
    SweepDuty(platform.context).tick()
    (trial,) = trials(platform, sweep)
    run = platform.finished(platform.runs.get(ADA, trial.run_id))
    (trial,) = trials(platform, sweep)
    assert (trial.state, trial.value) == (TrialState.no_metric, None), run.reason
    assert "its last value was no number" in str(trial.reason)
    assert get(platform, sweep).best is None
    assert "IN plain ones" in platform.log(run), "MLflow shows runs below it only there"


def test_without_mlflow_it_goes_on_and_says_so(platform: Platform, job: Job) -> None:
    sweep = ask(platform, job)
    with platform.context.database.reading() as session:
        assert session.get_one(SweepRow, sweep.id).spec["experiment"] == "fits"
    SweepDuty(platform.context).tick()
    told = get(platform, sweep)
    assert told.tracking_run_id is None
    assert "MLflow does not answer" in (told.tracking_note or "")
    assert count(platform.context) == 2


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_two_workers_that_are_killed_begin_each_trial_once(kind: str, tmp_path: Path) -> None:
    size, together = 40, 5
    with on(kind, tmp_path) as (platform, url):
        job = platform.promote(FIT)
        asked = {"space": {"depth": Dimension(values=list(range(size)))}, "concurrency": together}
        sweep = ask(platform, job, **asked)

        kills, most = 0, 0
        deadline = time.monotonic() + 120
        with two_workers(platform, url, noun="sweep", duty="SweepDuty", seed=3) as kill_one:
            while get(platform, sweep).state is SweepState.running:
                assert time.monotonic() < deadline, get(platform, sweep)
                time.sleep(0.01)
                most = max(most, get(platform, sweep).counts.get(TrialState.queued, 0))
                end(platform.context, lambda given: float(given["depth"]), only=2)
                if kills < 1 and count(platform.context) > size // 3:
                    kill_one()
                    kills += 1
        assert kills == 1
        assert most <= together
        with platform.context.database.reading() as session:
            values = [one["depth"] for one in session.scalars(select(RunRow.parameters))]
            begun = session.scalars(select(TrialRow.run_id)).all()
        assert sorted(values) == list(range(size)), "none twice, none left out"
        assert len(set(begun)) == size
        best = get(platform, sweep).best
        assert best is not None
        assert best.value == 0.0
        again = ask(platform, job, **asked)
        SweepDuty(platform.context).tick()
        told = service(platform).cancel(ADA, again.id)
        assert told.counts == {TrialState.cancelled: together}

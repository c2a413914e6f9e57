"""Which parameters a sweep tries next.

The same sweep with the same earlier trials gives the same answer in any process: nothing is kept
between two questions but what the database has.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from perijove.types.sweeps import Dimension, Goal, Kind, Method, SweepCreate

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial


@dataclass(frozen=True)
class Trial:
    """An earlier trial; ``value`` is ``None`` while it is under way, or when it failed."""

    parameters: dict[str, Any]
    under_way: bool
    value: float | None


def propose(asked: SweepCreate, earlier: Sequence[Trial]) -> dict[str, Any]:
    """Return the searched parameters of the trial after ``earlier``, which come in order."""
    number = len(earlier)
    if asked.method is Method.grid:
        return _combination(asked.space, number)
    if asked.method is Method.random:
        drawing = random.Random(f"{asked.seed}:{number}")  # noqa: S311 - no secret
        return {name: _draw(drawing, one) for name, one in asked.space.items()}
    return _suggested(asked, earlier)


def _combination(space: dict[str, Dimension], number: int) -> dict[str, Any]:
    """Return one point of the grid; the last parameter changes fastest."""
    found: dict[str, Any] = {}
    for name, dimension in reversed(space.items()):
        number, at = divmod(number, len(dimension.values))
        found[name] = dimension.values[at]
    return {name: found[name] for name in space}


def _draw(drawing: random.Random, dimension: Dimension) -> Any:
    if dimension.kind is Kind.choice:
        return drawing.choice(dimension.values)
    low, high = dimension.low or 0.0, dimension.high or 0.0
    if dimension.kind is Kind.int:
        return drawing.randrange(int(low), int(high) + 1, dimension.step)
    if dimension.kind is Kind.uniform:
        return drawing.uniform(low, high)
    drawn = math.exp(drawing.uniform(math.log(low), math.log(high)))
    return min(max(drawn, low), high)


def _suggested(asked: SweepCreate, earlier: Sequence[Trial]) -> dict[str, Any]:
    # Imported here: it takes a second, and only some sweeps need it.
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = {name: _distribution(one) for name, one in asked.space.items()}
    study = optuna.create_study(
        direction="minimize" if asked.goal is Goal.min else "maximize",
        # Trials that are under way count as bad ones, so that two at once differ.
        sampler=optuna.samplers.TPESampler(seed=asked.seed + len(earlier)),
    )
    study.add_trials(_told(asked, trial, distributions) for trial in earlier)
    drawn = study.ask(distributions).params
    return {name: _value(asked.space[name], drawn[name]) for name in asked.space}


def _told(
    asked: SweepCreate, trial: Trial, distributions: dict[str, BaseDistribution]
) -> FrozenTrial:
    from optuna.trial import TrialState, create_trial

    state = TrialState.RUNNING if trial.under_way else TrialState.COMPLETE
    if trial.value is None and not trial.under_way:
        state = TrialState.FAIL
    return create_trial(
        state=state,
        value=trial.value if state is TrialState.COMPLETE else None,
        params={name: _drawn(asked.space[name], trial.parameters[name]) for name in asked.space},
        distributions=distributions,
    )


def _distribution(dimension: Dimension) -> BaseDistribution:
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if dimension.kind is Kind.choice:
        # By number, because a value may be a list, which Optuna does not take.
        return CategoricalDistribution(range(len(dimension.values)))
    low, high = dimension.low or 0.0, dimension.high or 0.0
    if dimension.kind is Kind.int:
        first = int(low)
        last = first + (int(high) - first) // dimension.step * dimension.step
        return IntDistribution(first, last, step=dimension.step)
    return FloatDistribution(low, high, log=dimension.kind is Kind.loguniform)


def _value(dimension: Dimension, drawn: Any) -> Any:
    return dimension.values[drawn] if dimension.kind is Kind.choice else drawn


def _drawn(dimension: Dimension, value: Any) -> Any:
    """Return what ``_value`` was given for ``value``."""
    if dimension.kind is Kind.choice:
        return next(_places(dimension.values, value))
    return int(value) if dimension.kind is Kind.int else value


def _places(values: Sequence[Any], value: Any) -> Iterator[int]:
    # 1 == True in Python.
    return (at for at, one in enumerate(values) if type(one) is type(value) and one == value)
